/*! mask_painter sources-sha256:935f17166b29538bcc853191cf4dd3cd9e4ef5612524c56c451995e1e643de85 licences: mask_painter.licences.txt */
// src/dom.ts
function e(e, t = {}, ...n) {
	let r = document.createElement(e);
	for (let [e, n] of Object.entries(t)) typeof n == "function" ? r.addEventListener(e, n) : n === !0 ? r.setAttribute(e, "") : n !== !1 && r.setAttribute(e, String(n));
	return r.append(...n), r;
}
function t(e) {
	let t = document.createElement("template");
	return t.innerHTML = `<svg viewBox="0 0 24 24" width="18" height="18" fill="none" stroke="currentColor"
    stroke-width="2" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">${e}</svg>`, t.content.firstElementChild;
}
function n(n, r, i, a) {
	return e("button", {
		type: "button",
		class: "tool",
		title: r ? `${n} (${r})` : n,
		"aria-label": n,
		click: a
	}, t(i));
}
function r(e) {
	for (let t of [
		"keydown",
		"keypress",
		"keyup"
	]) e.addEventListener(t, (e) => e.stopPropagation());
}
// src/mount.ts
function i({ css: e, create: t }) {
	let n = /* @__PURE__ */ new Map(), r = () => {
		for (let [e, { instance: t }] of n) e.isConnected || (n.delete(e), t.destroy());
	};
	return ({ data: i, parentElement: a, setStateValue: o }) => {
		r();
		let s = n.get(a);
		if (!s) {
			let r = document.createElement("style");
			r.textContent = e;
			let i = document.createElement("div");
			a.append(r, i);
			let o = {};
			o.instance = t(i, (e, t) => o.send(e, t)), n.set(a, s = o);
		}
		return s.send = o, s.instance.update(i), () => void setTimeout(r);
	};
}
// src/toolbar.css?inline
var a = ".bar{flex-wrap:wrap;align-items:center;gap:6px 10px;margin-bottom:8px;display:flex}.group{border:1px solid var(--st-widget-border-color,var(--st-border-color,#8885));border-radius:var(--st-button-radius,8px);display:inline-flex;overflow:hidden}.tool{all:unset;box-sizing:border-box;cursor:pointer;min-width:34px;height:34px;color:var(--st-text-color,#222);justify-content:center;align-items:center;gap:4px;padding:0 7px;font-size:13px;display:inline-flex}.tool+.tool{border-left:1px solid var(--st-border-color,#8883)}.tool:hover{background:var(--st-secondary-background-color,#8882)}.tool[aria-pressed=true],.tool[aria-checked=true]{background:var(--st-primary-color,#ff4b4b);color:var(--st-background-color,#fff)}.tool:focus-visible{outline:2px solid var(--st-primary-color,#ff4b4b);outline-offset:-2px}.tool[aria-pressed=true]:focus-visible,.tool[aria-checked=true]:focus-visible{outline-color:var(--st-background-color,#fff)}.tool:disabled{opacity:.35;cursor:default}.status{color:var(--st-text-color,#222);font-variant-numeric:tabular-nums;opacity:.85;flex-wrap:wrap;justify-content:space-between;gap:2px 16px;min-height:1.4em;margin-top:6px;font-size:13px;display:flex}.unseen{clip-path:inset(50%);white-space:nowrap;width:1px;height:1px;position:absolute;overflow:hidden}@media (pointer:coarse){.tool{min-width:40px;height:40px}}[hidden]{display:none!important}";
// src/polygon.ts
function o(e, t, n) {
	let r = !1, [i, a] = e[e.length - 1];
	for (let [o, s] of e) a > n != s > n && t < (o - i) * (n - a) / (s - a) + i && (r = !r), i = o, a = s;
	return r;
}
// src/painter/grid.ts
var s = class {
	rows;
	cols;
	constructor(e, t) {
		this.rows = e, this.cols = t;
	}
	get size() {
		return this.rows * this.cols;
	}
	index({ row: e, col: t }) {
		return e * this.cols + t;
	}
	cellAt(e, t) {
		let n = (e, t) => Math.min(Math.max(Math.floor(e), 0), t - 1);
		return {
			row: n(t * this.rows, this.rows),
			col: n(e * this.cols, this.cols)
		};
	}
	brush(e, t) {
		let n = t - 1 >> 1, r = {
			row: e.row - n,
			col: e.col - n
		};
		return this.block(r, {
			row: r.row + t - 1,
			col: r.col + t - 1
		});
	}
	block(e, t) {
		let n = [], [r, i] = [Math.max(Math.min(e.row, t.row), 0), Math.min(Math.max(e.row, t.row), this.rows - 1)], [a, o] = [Math.max(Math.min(e.col, t.col), 0), Math.min(Math.max(e.col, t.col), this.cols - 1)];
		for (let e = r; e <= i; e++) for (let t = a; t <= o; t++) n.push(e * this.cols + t);
		return n;
	}
	line(e, t) {
		let [n, r] = [Math.abs(t.col - e.col), -Math.abs(t.row - e.row)], [i, a] = [Math.sign(t.col - e.col), Math.sign(t.row - e.row)], o = [], { row: s, col: c } = e;
		for (let e = n + r;;) {
			if (o.push({
				row: s,
				col: c
			}), s === t.row && c === t.col) return o;
			let l = 2 * e;
			l >= r && (e += r, c += i), l <= n && (e += n, s += a);
		}
	}
	lasso(e) {
		let t = [];
		if (e.length < 3) return t;
		for (let n = 0; n < this.rows; n++) for (let r = 0; r < this.cols; r++) o(e, (r + .5) / this.cols, (n + .5) / this.rows) && t.push(n * this.cols + r);
		return t;
	}
}, c = ["mask-painter:draw", "mask-painter:answer"], l = 500, u = 0;
function d(e, t) {
	++u % l === 0 && c.forEach((e) => performance.clearMeasures(e)), performance.measure(c[0], { start: t }), performance.measure(c[1], { start: Math.min(e.timeStamp, t) });
}
// src/painter/painter.css?inline
var f = ".painter{font-family:var(--st-font,sans-serif);color:var(--st-text-color,#222);position:relative}.stage{background:var(--st-secondary-background-color,#eee);border-radius:4px;width:100%;line-height:0;position:relative;overflow:hidden}.stage img{-webkit-user-select:none;user-select:none;-webkit-user-drag:none;width:100%;height:auto;display:block}.stage img.enlarged{image-rendering:pixelated}.stage canvas{touch-action:none;cursor:crosshair;outline:none;width:100%;height:100%;position:absolute;inset:0}.stage canvas:focus-visible{box-shadow:inset 0 0 0 3px var(--st-primary-color,#ff4b4b)}.painter[data-tool=pick] canvas{cursor:copy}.painter[data-disabled]{opacity:.6;pointer-events:none}.size{font-variant-numeric:tabular-nums;align-items:center;display:inline-flex}.size output{text-align:center;min-width:1.6em;font-size:13px}.failed{padding:24px 16px;font-size:14px;line-height:1.4}";
// src/bitmap.ts
function p(e) {
	let t = new Uint8Array(e.length + 7 >> 3);
	for (let n = 0; n < e.length; n++) e[n] && (t[n >> 3] |= 128 >> (n & 7));
	let n = "";
	for (let e of t) n += String.fromCharCode(e);
	return btoa(n).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}
function m(e, t) {
	let n = atob(e.replaceAll("-", "+").replaceAll("_", "/")), r = new Uint8Array(t);
	for (let e = 0; e < t; e++) r[e] = (n.charCodeAt(e >> 3) || 0) >> 7 - (e & 7) & 1;
	return r;
}
// src/echo.ts
var h = class {
	last;
	revision = 0;
	constructor(e) {
		this.last = e;
	}
	send(e) {
		return this.last = e, ++this.revision;
	}
	isNews(e, t) {
		return this.revision = Math.max(this.revision, t), t < this.revision || e === this.last ? !1 : (this.last = e, !0);
	}
}, g = 200, _ = class {
	size;
	cells;
	undone = [];
	done = [];
	echo;
	constructor(e, t, n) {
		this.size = e, this.cells = m(t, e), this.echo = new h(t), this.echo.revision = n;
	}
	get revision() {
		return this.echo.revision;
	}
	get hidden() {
		return this.cells.reduce((e, t) => e + t, 0);
	}
	get canUndo() {
		return this.done.length > 0;
	}
	get canRedo() {
		return this.undone.length > 0;
	}
	commit(e) {
		return !e.every((e, t) => e === this.cells[t]) && (this.done.push(e), this.done.length > g && this.done.shift(), this.undone = [], !0);
	}
	step(e) {
		let [t, n] = e === "undo" ? [this.done, this.undone] : [this.undone, this.done], r = t.pop();
		return r ? (n.push(this.cells), this.cells = r, !0) : !1;
	}
	send() {
		let e = p(this.cells);
		return {
			bits: e,
			revision: this.echo.send(e)
		};
	}
	receive(e, t) {
		if (!this.echo.isNews(e, t)) return !1;
		let n = this.cells;
		return this.cells = m(e, this.size), this.commit(n);
	}
}, v = 7, y = class {
	canvas;
	context;
	ratio = 1;
	solid;
	sheer;
	constructor(e) {
		this.canvas = e, this.context = e.getContext("2d"), this.resize(1, 1);
	}
	resize(e, t) {
		this.ratio = window.devicePixelRatio || 1, this.canvas.width = Math.max(1, Math.round(e * this.ratio)), this.canvas.height = Math.max(1, Math.round(t * this.ratio)), this.solid = this.hatched("rgba(128,130,136,.94)", "rgba(255,255,255,.16)"), this.sheer = this.hatched("rgba(128,130,136,.45)", "rgba(255,255,255,.3)");
	}
	draw(e, t, n) {
		let { context: r, canvas: i } = this;
		r.clearRect(0, 0, i.width, i.height);
		let a = new Path2D();
		t.cells.forEach((t, n) => t && this.addCell(a, e, n)), r.fillStyle = t.peek ? this.sheer : this.solid, r.fill(a), this.lines(e), this.stroke(e, t, n);
	}
	edge(e, t, n) {
		return Math.round(e / t * n);
	}
	addCell(e, t, n) {
		let r = Math.floor(n / t.cols), i = n - r * t.cols, { width: a, height: o } = this.canvas, [s, c] = [this.edge(i, t.cols, a), this.edge(r, t.rows, o)];
		e.rect(s, c, this.edge(i + 1, t.cols, a) - s, this.edge(r + 1, t.rows, o) - c);
	}
	hatched(e, t) {
		let n = v * this.ratio, r = new OffscreenCanvas(Math.round(n), Math.round(n)), i = r.getContext("2d");
		i.fillStyle = e, i.fillRect(0, 0, n, n), i.strokeStyle = t, i.lineWidth = this.ratio;
		for (let e of [
			-n,
			0,
			n
		]) i.moveTo(e, n), i.lineTo(e + n, 0);
		return i.stroke(), this.context.createPattern(r, "repeat");
	}
	lines(e) {
		let { context: t, canvas: n, ratio: r } = this;
		if (!(n.width / e.cols < 5 * r)) {
			t.lineWidth = 1, t.strokeStyle = "rgba(255,255,255,.28)", t.beginPath();
			for (let r = 1; r < e.cols; r++) {
				let i = this.edge(r, e.cols, n.width) - .5;
				t.moveTo(i, 0), t.lineTo(i, n.height);
			}
			for (let r = 1; r < e.rows; r++) {
				let i = this.edge(r, e.rows, n.height) - .5;
				t.moveTo(0, i), t.lineTo(n.width, i);
			}
			t.stroke();
		}
	}
	stroke(e, t, n) {
		let r = new Path2D();
		if (t.preview.forEach((t) => this.addCell(r, e, t)), this.outline(r, n, 1.5), t.lasso.length > 1) {
			let e = new Path2D();
			t.lasso.forEach(([t, n], r) => e[r ? "lineTo" : "moveTo"](t * this.canvas.width, n * this.canvas.height)), e.closePath(), this.outline(e, n, 2);
		}
		if (t.cursor) {
			let r = new Path2D();
			this.addCell(r, e, e.index(t.cursor)), this.outline(r, n, 3);
		}
	}
	outline(e, t, n) {
		let { context: r, ratio: i } = this;
		r.lineJoin = "round";
		for (let [a, o] of [
			["rgba(0,0,0,.75)", 2.5],
			["#fff", 1],
			[t, 0]
		]) r.strokeStyle = a, r.lineWidth = (n + o) * i, r.stroke(e);
	}
}, b = [
	[
		"brush",
		"Brush",
		"B",
		"<path d=\"M9.5 14.5 20 4M4 20c3 0 6-1 6-4a2.5 2.5 0 0 0-5 0c0 1.500-.5 3-1 4Z\"/>"
	],
	[
		"eraser",
		"Eraser",
		"E",
		"<path d=\"m7 21-4-4a2 2 0 0 1 0-3L13 4a2 2 0 0 1 3 0l5 5a2 2 0 0 1 0 3l-9 9H7ZM22 21H7M8 9l8 8\"/>"
	],
	[
		"rectangle",
		"Rectangle",
		"R",
		"<rect x=\"3\" y=\"5\" width=\"18\" height=\"14\" stroke-dasharray=\"4 3\"/>"
	],
	[
		"lasso",
		"Lasso",
		"L",
		"<path d=\"M7 17c-3-1-4-3-4-5 0-4 4-7 9-7s9 3 9 7-4 7-9 7c-1 0-2 0-3-.3\"/><circle cx=\"7\" cy=\"18\" r=\"2\"/><path d=\"M7 20c0 1-.5 2-2 3\"/>"
	],
	[
		"pick",
		"Pick a patch to find similar ones",
		"P",
		"<path d=\"m13 7 4 4M3 21l1-4L15 6l3 3L7 20l-4 1ZM15 6l2-2a2 2 0 0 1 3 0 2 2 0 0 1 0 3l-2 2\"/>"
	]
], x = [
	[
		"undo",
		"Undo",
		"Ctrl+Z",
		"<path d=\"M9 14 4 9l5-5M4 9h10a6 6 0 0 1 0 12h-3\"/>"
	],
	[
		"redo",
		"Redo",
		"Ctrl+Shift+Z",
		"<path d=\"m15 14 5-5-5-5M20 9H10a6 6 0 0 0 0 12h3\"/>"
	],
	[
		"invert",
		"Invert mask",
		"I",
		"<circle cx=\"12\" cy=\"12\" r=\"9\"/><path d=\"M12 3v18a9 9 0 0 1 0-18Z\" fill=\"currentColor\"/>"
	],
	[
		"clear",
		"Show all patches",
		"Del",
		"<rect x=\"4\" y=\"4\" width=\"16\" height=\"16\" rx=\"1\"/>"
	],
	[
		"hide all",
		"Hide all patches",
		"",
		"<rect x=\"4\" y=\"4\" width=\"16\" height=\"16\" rx=\"1\" fill=\"currentColor\"/>"
	],
	[
		"peek",
		"See through hidden patches",
		"V",
		"<path d=\"M2 12s4-7 10-7 10 7 10 7-4 7-10 7S2 12 2 12Z\"/><circle cx=\"12\" cy=\"12\" r=\"3\"/>"
	]
], S = class {
	node;
	tools = /* @__PURE__ */ new Map();
	actions = /* @__PURE__ */ new Map();
	size = e("output", { "aria-label": "Brush size in patches" }, "1");
	constructor(t, r) {
		for (let [e, r, i, a] of b) this.tools.set(e, n(r, i, a, () => t(e)));
		for (let [e, t, i, a] of x) this.actions.set(e, n(t, i, a, () => r(e)));
		let i = n("Smaller brush", "[", "<path d=\"M6 12h12\"/>", () => r("smaller")), a = n("Larger brush", "]", "<path d=\"M6 12h12M12 6v12\"/>", () => r("larger"));
		this.actions.set("smaller", i).set("larger", a);
		let o = (t, ...n) => e("div", {
			class: "group",
			role: "group",
			"aria-label": t
		}, ...n), s = (...e) => e.map((e) => this.actions.get(e));
		this.node = e("div", {
			class: "bar",
			role: "toolbar",
			"aria-label": "Painting tools"
		}, o("Tool", ...this.tools.values()), e("div", {
			class: "group size",
			role: "group",
			"aria-label": "Brush size"
		}, i, this.size, a), o("History", ...s("undo", "redo")), o("Whole mask", ...s("invert", "clear", "hide all", "peek")));
	}
	show({ tool: e, size: t, peek: n, canUndo: r, canRedo: i }) {
		for (let [t, n] of this.tools) n.setAttribute("aria-pressed", String(t === e));
		this.actions.get("peek").setAttribute("aria-pressed", String(n)), this.actions.get("undo").disabled = !r, this.actions.get("redo").disabled = !i, this.actions.get("smaller").disabled = t <= 1, this.actions.get("larger").disabled = t >= 5, this.size.textContent = String(t);
	}
}, C = class {
	root;
	send;
	grid = new s(1, 1);
	painting = new _(1, "AA", 0);
	tool = "brush";
	brushSize = 1;
	peek = !1;
	cursor = {
		row: 0,
		col: 0
	};
	cursorShown = !1;
	hover = null;
	stroke = null;
	pending = null;
	data = null;
	image = e("img", {
		alt: "",
		draggable: "false"
	});
	canvas = e("canvas", {
		tabindex: "0",
		role: "application"
	});
	failed = e("div", {
		class: "failed",
		hidden: !0,
		role: "alert"
	}, "The picture could not be loaded: reload the page.");
	stage = e("div", { class: "stage" }, this.image, this.canvas, this.failed);
	share = e("span", { class: "share" });
	place = e("span", { class: "place" });
	spoken = e("div", {
		class: "unseen",
		"aria-live": "polite"
	});
	status = e("div", { class: "status" }, this.share, this.place);
	surface = new y(this.canvas);
	toolbar;
	observer = new ResizeObserver(() => this.fit());
	constructor(e, t) {
		this.root = e, this.send = t, this.toolbar = new S((e) => this.choose(e), (e) => this.act(e)), e.className = "painter", e.append(this.toolbar.node, this.stage, this.status, this.spoken), this.image.addEventListener("load", () => this.fit()), this.image.addEventListener("error", () => this.failed.hidden = !1), this.listen(), r(e), this.observer.observe(this.stage), this.choose("brush");
	}
	destroy() {
		this.observer.disconnect();
	}
	update(e) {
		let { grid: t } = this;
		!this.data || t.rows !== e.rows || t.cols !== e.cols ? (this.grid = new s(e.rows, e.cols), this.painting = new _(this.grid.size, e.mask, Math.max(this.painting.revision, e.known)), this.cursor = this.grid.cellAt(.5, .5), this.hover = this.stroke = this.pending = null) : this.receive(e.mask, e.known), this.pending && e.known >= this.pending.revision && (this.pending = null), this.data?.image !== e.image && (this.failed.hidden = !0, this.image.src = e.image), this.data = e, this.stage.style.maxWidth = this.status.style.maxWidth = `${e.maxWidth}px`, this.root.toggleAttribute("data-disabled", e.disabled), this.canvas.setAttribute("aria-label", `${e.label}: ${e.rows} rows of ${e.cols} patches. Arrow keys move, space hides or shows a patch. B brush, E eraser, R rectangle, L lasso, P pick, brackets change the brush, I inverts.`), this.refresh();
	}
	receive(e, t) {
		let { painting: n, stroke: r } = this;
		if (!r) return void n.receive(e, t);
		let i = n.cells;
		if (n.cells = r.before, !n.receive(e, t)) return void (n.cells = i);
		r.before = n.cells, n.cells = r.before.slice();
		for (let e of r.touched) n.cells[e] = +!!r.hide;
	}
	fit() {
		let { clientWidth: e, clientHeight: t } = this.stage;
		this.image.classList.toggle("enlarged", this.image.naturalWidth < e), this.surface.resize(e, t), this.draw();
	}
	refresh() {
		let { painting: e } = this;
		this.count(), this.toolbar.show({
			tool: this.tool,
			size: this.brushSize,
			peek: this.peek,
			canUndo: e.canUndo,
			canRedo: e.canRedo
		}), this.draw();
	}
	count() {
		let { hidden: e } = this.painting, { size: t } = this.grid;
		this.share.textContent = `${e} of ${t} patches hidden (${Math.round(100 * e / t)} %)`;
	}
	draw() {
		let e = getComputedStyle(this.root).getPropertyValue("--st-primary-color").trim() || "#ff4b4b";
		this.surface.draw(this.grid, {
			cells: this.painting.cells,
			preview: this.preview(),
			lasso: this.stroke?.lasso ?? [],
			cursor: this.cursorShown ? this.cursor : null,
			peek: this.peek
		}, e);
	}
	preview() {
		return this.stroke && this.tool === "rectangle" ? this.grid.block(this.stroke.from, this.stroke.last) : this.hover ? this.grid.brush(this.hover, this.tool === "brush" || this.tool === "eraser" ? this.brushSize : 1) : [];
	}
	choose(e) {
		this.tool = e, this.root.dataset.tool = e, this.refresh();
	}
	act(e) {
		let { painting: t } = this;
		if ([
			"undo",
			"redo",
			"invert",
			"clear",
			"hide all"
		].includes(e) && (this.pending = null), e === "undo" || e === "redo") t.step(e) && this.report(e === "undo" ? "Undone" : "Redone");
		else if (e === "smaller" || e === "larger") this.brushSize = Math.min(Math.max(this.brushSize + (e === "larger" ? 1 : -1), 1), 5), this.spoken.textContent = `Brush ${this.brushSize}`;
		else if (e === "peek") this.peek = !this.peek;
		else {
			let n = t.cells;
			t.cells = n.map((t) => e === "invert" ? 1 - t : +(e === "hide all")), t.commit(n) && this.report(e === "invert" ? "Inverted" : e === "clear" ? "All patches visible" : "All patches hidden");
		}
		this.refresh();
	}
	report(e) {
		let { bits: t, revision: n } = this.painting.send();
		this.pending?.revision === 0 && (this.pending.revision = n);
		let r = this.pending && [this.pending.cell.row, this.pending.cell.col];
		this.spoken.textContent = `${e}. ${this.painting.hidden} of ${this.grid.size} hidden.`, this.send("paint", {
			bits: t,
			rows: this.grid.rows,
			cols: this.grid.cols,
			revision: n,
			pick: r
		});
	}
	pick(e) {
		this.pending = {
			cell: e,
			revision: 0
		}, this.report(`Row ${e.row + 1}, column ${e.col + 1} picked`);
	}
	listen() {
		let { canvas: e } = this;
		e.addEventListener("pointerdown", (e) => this.press(e)), e.addEventListener("pointermove", (e) => this.move(e)), e.addEventListener("pointerup", (e) => this.release(e)), e.addEventListener("pointercancel", () => this.abandon()), e.addEventListener("pointerleave", () => {
			this.hover = null, this.place.textContent = "", this.draw();
		}), e.addEventListener("contextmenu", (e) => e.preventDefault()), e.addEventListener("blur", () => {
			this.cursorShown = !1, this.draw();
		}), e.addEventListener("focus", () => {
			this.cursorShown = e.matches(":focus-visible"), this.draw();
		}), this.root.addEventListener("keydown", (e) => this.key(e));
	}
	point(e) {
		let t = this.canvas.getBoundingClientRect();
		return [(e.clientX - t.left) / t.width, (e.clientY - t.top) / t.height];
	}
	press(e) {
		let t = performance.now();
		if (e.button > 2 || e.button === 1 || this.stroke) return;
		e.preventDefault(), this.canvas.focus({ preventScroll: !0 }), this.cursorShown = !1;
		let n = this.point(e), r = this.grid.cellAt(...n);
		if (this.cursor = r, this.tool === "pick") {
			this.pick(r);
			return;
		}
		this.canvas.setPointerCapture(e.pointerId);
		let i = e.button === 2 || e.shiftKey || this.tool === "eraser" || this.tool === "brush" && this.painting.cells[this.grid.index(r)] === 1;
		this.stroke = {
			before: this.painting.cells.slice(),
			hide: !i,
			from: r,
			last: r,
			lasso: this.tool === "lasso" ? [n] : [],
			touched: []
		}, (this.tool === "brush" || this.tool === "eraser") && this.stamp([r]), this.answer(e, t);
	}
	move(e) {
		let t = performance.now(), n = (e.getCoalescedEvents?.() ?? []).map((e) => this.point(e));
		n.length || n.push(this.point(e));
		let r = this.grid.cellAt(...n.at(-1));
		this.hover = r, this.place.textContent = `row ${r.row + 1}, column ${r.col + 1}`;
		let { stroke: i } = this;
		if (i) for (let e of n) {
			let t = this.grid.cellAt(...e);
			this.tool === "lasso" ? i.lasso.push(e) : this.tool !== "rectangle" && this.stamp(this.grid.line(i.last, t)), i.last = t;
		}
		this.answer(e, t);
	}
	release(e) {
		let t = performance.now(), { stroke: n, grid: r } = this;
		n && (this.tool === "rectangle" && this.fill(r.block(n.from, n.last)), this.tool === "lasso" && this.fill(n.lasso.length < 3 ? [r.index(n.from)] : r.lasso(n.lasso)), this.stroke = null, this.painting.commit(n.before) && this.report(n.hide ? "Hidden" : "Shown"), this.refresh(), this.answer(e, t));
	}
	abandon() {
		this.stroke && (this.painting.cells = this.stroke.before), this.stroke = null, this.refresh();
	}
	stamp(e) {
		for (let t of e) this.fill(this.grid.brush(t, this.brushSize));
	}
	fill(e) {
		let t = this.stroke;
		for (let n of e) this.painting.cells[n] = +!!t.hide;
		t.touched.push(...e);
	}
	answer(e, t) {
		this.stroke && this.count(), this.draw(), d(e, t);
	}
	key(e) {
		this.data?.disabled || this.stroke && e.key !== "Escape" || (e.ctrlKey || e.metaKey ? this.chord(e) : this.plainKey(e)) && e.preventDefault();
	}
	chord(e) {
		let t = e.key.toLowerCase();
		if (t === "z") this.act(e.shiftKey ? "redo" : "undo");
		else if (t === "y") this.act("redo");
		else return !1;
		return !0;
	}
	plainKey(e) {
		let t = {
			b: "brush",
			e: "eraser",
			r: "rectangle",
			l: "lasso",
			p: "pick"
		}, n = {
			"[": "smaller",
			"]": "larger",
			i: "invert",
			delete: "clear",
			v: "peek"
		}, r = e.key.toLowerCase();
		if (r === "escape" && this.stroke) this.abandon();
		else if (t[r]) this.choose(t[r]);
		else if (n[r]) this.act(n[r]);
		else return e.target === this.canvas && this.cursorKey(e.key);
		return !0;
	}
	cursorKey(e) {
		let t = {
			ArrowUp: [-1, 0],
			ArrowDown: [1, 0],
			ArrowLeft: [0, -1],
			ArrowRight: [0, 1]
		}, { grid: n, cursor: r, painting: i } = this;
		if (this.cursorShown = !0, t[e]) {
			let [a, o] = t[e];
			this.cursor = {
				row: Math.min(Math.max(r.row + a, 0), n.rows - 1),
				col: Math.min(Math.max(r.col + o, 0), n.cols - 1)
			};
			let s = i.cells[n.index(this.cursor)] === 1, c = `row ${this.cursor.row + 1}, column ${this.cursor.col + 1}`;
			this.spoken.textContent = `R${c.slice(1)}, ${s ? "hidden" : "visible"}`, this.place.textContent = c, this.draw();
		} else if (e === " " || e === "Enter") this.toggleAtCursor();
		else return !1;
		return !0;
	}
	toggleAtCursor() {
		let { grid: e, cursor: t, painting: n } = this;
		if (this.tool === "pick") return this.pick(t);
		let r = n.cells.slice(), i = this.tool === "eraser" || r[e.index(t)] ? 0 : 1;
		for (let r of e.brush(t, this.brushSize)) n.cells[r] = i;
		n.commit(r) && this.report(i ? "Hidden" : "Shown"), this.refresh();
	}
}, w = {
	css: a + f,
	create: (e, t) => new C(e, t)
}, T = i(w);
export { m as decodeBits, T as default, p as encodeBits, w as painter };
