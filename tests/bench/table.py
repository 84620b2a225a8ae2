"""What came out, as rows of a Markdown table, and how it is drawn together from several runs."""

from statistics import median

COLUMNS = ["scenario", "what", "Fanfare", "floor", "ratio", "target", "", "busy: server, generator; Redis"]
GROWTH = 1.25


class Row:
	"""`value` is set against `target`, both as numbers; without a target it is only told. A ratio is drawn from pairs of
	runs, one right after the other, so that a neighbour who takes the machine's time takes it from both. `or_floor`: no
	more than that is asked for where the machine's own price is above the target; the table says so."""

	def __init__(self, scenario, what, figure, floor="", value=None, shown=None, target=None, target_text=None,
			or_floor=0, beside=""):
		self.scenario, self.what, self.figure, self.floor = scenario, what, figure, floor
		self.value, self.target, self.or_floor, self.beside = value, target, or_floor, beside
		self.shown = shown if shown is not None else ("" if value is None else f"{value:.2f}")
		self.target_text = target_text or ("" if target is None else f"≤ {target:g}")

	def missed(self, tolerance=1.0):
		return self.target is not None and self.value > max(self.target, self.or_floor) * tolerance

	def verdict(self):
		if self.target is None:
			return ""
		if self.value <= self.target:
			return "ok"
		return "missed" if self.missed() else "as the floor"

	def cells(self):
		return [self.scenario, self.what, self.figure, self.floor, self.shown, self.target_text, self.verdict(), self.beside]


def ratio(figures, floors):
	"""The median of the ratios of pairs."""
	return median(figure / floor for figure, floor in zip(figures, floors))


def grown(cost, fewer):
	"""For a Row: what one of many costs, beside the least that one of fewer did, if there were such. What is done once for all
	weighs on few; where there are many the caches do not hold them: that may show, and growth with their number not."""
	return {"value": cost / fewer, "target": GROWTH} if fewer else {}


def line(cells):
	return "| " + " | ".join(cells) + " |"


def head():
	return line(COLUMNS) + "\n" + line(["---"] * len(COLUMNS))


def microseconds(ns):
	us = ns / 1000
	return f"{us:.3f} us" if us < 1 else f"{us:.2f} us" if us < 100 else f"{us:,.0f} us"


def size(count):
	return f"{count:,.0f} B" if count < 10000 else f"{count / 1024:,.1f} KiB"
