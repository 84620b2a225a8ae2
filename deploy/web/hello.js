// A plain WebSocket to a broker in dev mode: it greets, and it answers every text. No protocol above it.
const socket = new WebSocket(location.protocol.replace("http", "ws") + "//" + location.host + "/");
const print = (line) => document.getElementById("log").append(line + "\n");

socket.onopen = () => print("connected");
socket.onmessage = (event) => print(event.data);
socket.onclose = (event) => print("closed with code " + event.code);

document.getElementById("form").onsubmit = (event) => {
	event.preventDefault();
	const text = document.getElementById("text");
	socket.send(text.value);
	text.value = "";
};
