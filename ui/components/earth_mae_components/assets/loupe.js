/*! loupe sources-sha256:935f17166b29538bcc853191cf4dd3cd9e4ef5612524c56c451995e1e643de85 licences: loupe.licences.txt */
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
// src/keys.ts
var r = "dialog{border:1px solid var(--st-border-color,#8883);background:var(--st-background-color,#fff);max-width:min(30rem,92vw);color:inherit;border-radius:12px;padding:1.2rem 1.4rem}dialog::backdrop{background:#0008}dialog h2{margin:0 0 .8rem;font-size:1.1rem}dialog dl{grid-template-columns:auto 1fr;gap:.45rem 1rem;margin:0 0 1rem;font-size:14px;display:grid}dialog dd{margin:0}kbd{border:1px solid var(--st-border-color,#8888);font:inherit;white-space:nowrap;border-radius:5px;padding:1px 7px}", i = class {
	keys;
	button = n("Keyboard shortcuts", "?", "<rect x=\"2\" y=\"6\" width=\"20\" height=\"12\" rx=\"2\"/><path d=\"M6 10h.01M10 10h.01M14 10h.01M18 10h.01M8 14h8\"/>", () => this.show());
	list = e("dl");
	dialog = e("dialog", { "aria-label": "Keyboard shortcuts" }, e("h2", {}, "Keyboard shortcuts"), this.list, e("button", {
		type: "button",
		class: "tool",
		click: () => this.dialog.close()
	}, "Close"));
	constructor(e, t) {
		this.keys = e, document.addEventListener("keydown", (e) => this.asked(e), {
			signal: t,
			capture: !0
		});
	}
	asked(e) {
		e.key !== "?" || a(e) || (e.preventDefault(), this.dialog.open ? this.dialog.close() : this.show());
	}
	show() {
		this.list.replaceChildren(...this.keys().flatMap(([t, n]) => [e("dt", {}, e("kbd", {}, t)), e("dd", {}, n)])), this.dialog.showModal();
	}
};
function a(e) {
	let t = e.composedPath()[0];
	return t instanceof HTMLElement ? t instanceof HTMLInputElement && ![
		"range",
		"checkbox",
		"radio"
	].includes(t.type) || t instanceof HTMLTextAreaElement || t.isContentEditable : !1;
}
// src/mount.ts
function o({ css: e, create: t }) {
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
var s = ".bar{flex-wrap:wrap;align-items:center;gap:6px 10px;margin-bottom:8px;display:flex}.group{border:1px solid var(--st-widget-border-color,var(--st-border-color,#8885));border-radius:var(--st-button-radius,8px);display:inline-flex;overflow:hidden}.tool{all:unset;box-sizing:border-box;cursor:pointer;min-width:34px;height:34px;color:var(--st-text-color,#222);justify-content:center;align-items:center;gap:4px;padding:0 7px;font-size:13px;display:inline-flex}.tool+.tool{border-left:1px solid var(--st-border-color,#8883)}.tool:hover{background:var(--st-secondary-background-color,#8882)}.tool[aria-pressed=true],.tool[aria-checked=true]{background:var(--st-primary-color,#ff4b4b);color:var(--st-background-color,#fff)}.tool:focus-visible{outline:2px solid var(--st-primary-color,#ff4b4b);outline-offset:-2px}.tool[aria-pressed=true]:focus-visible,.tool[aria-checked=true]:focus-visible{outline-color:var(--st-background-color,#fff)}.tool:disabled{opacity:.35;cursor:default}.status{color:var(--st-text-color,#222);font-variant-numeric:tabular-nums;opacity:.85;flex-wrap:wrap;justify-content:space-between;gap:2px 16px;min-height:1.4em;margin-top:6px;font-size:13px;display:flex}.unseen{clip-path:inset(50%);white-space:nowrap;width:1px;height:1px;position:absolute;overflow:hidden}@media (pointer:coarse){.tool{min-width:40px;height:40px}}[hidden]{display:none!important}", c = ".loupe{font-family:var(--st-font,sans-serif);color:var(--st-text-color,#222)}.loupe .bar{margin-bottom:0}.zoom{text-align:center;font-variant-numeric:tabular-nums;align-self:center;min-width:2.4em;font-size:13px}", l = .46, u = [56, 190], d = "0 0 0 1px #000a", f = class t {
	picture;
	box = e("div", {
		"data-overlay": !0,
		"aria-hidden": "true"
	});
	constructor(e) {
		this.picture = e;
	}
	static over(e) {
		let n = new t(e);
		e.parentElement.style.position = "relative";
		let { offsetLeft: r, offsetTop: i, offsetWidth: a, offsetHeight: o } = e;
		return Object.assign(n.box.style, {
			position: "absolute",
			left: `${r}px`,
			top: `${i}px`,
			width: `${a}px`,
			height: `${o}px`,
			borderRadius: "8px",
			overflow: "hidden",
			pointerEvents: "none"
		}), e.parentElement.append(n.box), n;
	}
	magnify([t, n], r) {
		let { offsetWidth: i, offsetHeight: a } = this.picture, o = Math.min(Math.max(l * i, u[0]), u[1]), s = e("div", { "data-lens": !0 });
		Object.assign(s.style, {
			position: "absolute",
			left: `${t * i - o / 2}px`,
			top: `${n * a - o / 2}px`,
			width: `${o}px`,
			height: `${o}px`,
			boxSizing: "border-box",
			border: "2px solid #fff",
			boxShadow: d,
			borderRadius: "50%",
			background: `#63737b url("${this.picture.src}") no-repeat`,
			backgroundOrigin: "border-box",
			backgroundSize: `${i * r}px ${a * r}px`,
			backgroundPosition: `${o / 2 - t * i * r}px ${o / 2 - n * a * r}px`,
			imageRendering: "pixelated"
		}), this.box.replaceChildren(s);
	}
	wipe([t], n, r) {
		let i = e("img", {
			src: n.src,
			alt: "",
			"data-wipe": !0
		});
		Object.assign(i.style, {
			width: "100%",
			height: "100%",
			display: "block",
			imageRendering: "pixelated",
			clipPath: `inset(0 ${100 * (1 - t)}% 0 0)`
		});
		let a = e("div");
		Object.assign(a.style, {
			position: "absolute",
			top: "0",
			bottom: "0",
			left: `calc(${100 * t}% - 1px)`,
			width: "2px",
			background: "#fff",
			boxShadow: d
		});
		let o = e("div", {}, `← ${r}`);
		Object.assign(o.style, {
			position: "absolute",
			left: "6px",
			bottom: "6px",
			padding: "2px 7px",
			borderRadius: "4px",
			background: "#000b",
			color: "#fff",
			fontSize: "12px"
		}), this.box.replaceChildren(i, a, o);
	}
	remove() {
		this.box.remove();
	}
}, p = "[data-panel] img:not([data-wipe])", m = [
	2,
	3,
	4,
	6,
	8
], h = 1 / 28, g = {
	ArrowLeft: [-.03571428571428571, 0],
	ArrowRight: [h, 0],
	ArrowUp: [0, -.03571428571428571],
	ArrowDown: [0, h]
}, _ = "earth-mae pictures", v = (e) => e.closest("[data-panel]"), y = class {
	tool = "loupe";
	layout = "large";
	zoom = 4;
	at = null;
	pointed = null;
	overlays = [];
	keys = [];
	ended = new AbortController();
	shortcuts = new i(() => this.keys, this.ended.signal);
	loupe = n("Loupe: the same place in all pictures", "L", "<circle cx=\"10\" cy=\"10\" r=\"6\"/><path d=\"m15 15 6 6\"/>", () => this.use("loupe"));
	wipe = n("Wipe: the original or first picture left of the pointer", "W", "<rect x=\"3\" y=\"4\" width=\"18\" height=\"16\" rx=\"1\"/><path d=\"M12 2v20\"/>", () => this.use("wipe"));
	even = n("Pictures of equal size", "D", "<path d=\"M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z\"/>", () => this.lay(this.layout === "large" ? "even" : "large"));
	zoomed = e("span", {
		class: "zoom",
		"aria-live": "polite"
	});
	bar = e("div", {
		class: "bar",
		role: "toolbar",
		"aria-label": "Pictures"
	}, e("div", { class: "group" }, this.loupe, this.wipe), e("div", { class: "group" }, n("Zoom out", "−", "<path d=\"M5 12h14\"/>", () => this.zoomBy(-1)), this.zoomed, n("Zoom in", "+", "<path d=\"M5 12h14M12 5v14\"/>", () => this.zoomBy(1))), e("div", { class: "group" }, this.even), e("div", { class: "group" }, this.shortcuts.button));
	constructor(e) {
		e.className = "loupe", e.append(this.bar, this.shortcuts.dialog);
		let { signal: t } = this.ended, n = (e) => this.follow(e);
		document.addEventListener("pointermove", n, {
			signal: t,
			passive: !0
		}), document.addEventListener("pointerdown", n, {
			signal: t,
			passive: !0
		}), document.documentElement.addEventListener("pointerleave", () => this.point(null, null), { signal: t }), document.addEventListener("keydown", (e) => this.pressed(e), { signal: t }), this.bar.addEventListener("keydown", (e) => this.moved(e)), this.restore(), this.show();
	}
	destroy() {
		this.ended.abort(), this.clear(), delete document.documentElement.dataset.pictures;
	}
	update(e) {
		this.keys = e.keys, this.pointed && !this.pointed.isConnected && this.point(null, null);
	}
	use(e) {
		this.tool = this.tool === e ? "none" : e, this.store(), this.show();
	}
	lay(e) {
		this.layout = e, this.store(), this.show();
	}
	zoomBy(e) {
		let t = m[m.indexOf(this.zoom) + e];
		t && (this.zoom = t), this.store(), this.show();
	}
	store() {
		let { tool: e, layout: t, zoom: n } = this;
		try {
			localStorage.setItem(_, JSON.stringify({
				tool: e,
				layout: t,
				zoom: n
			}));
		} catch {}
	}
	restore() {
		try {
			let { tool: e, layout: t, zoom: n } = JSON.parse(localStorage.getItem(_) ?? "{}");
			[
				"loupe",
				"wipe",
				"none"
			].includes(e) && (this.tool = e), ["large", "even"].includes(t) && (this.layout = t), m.includes(n) && (this.zoom = n);
		} catch {}
	}
	show() {
		this.loupe.setAttribute("aria-pressed", String(this.tool === "loupe")), this.wipe.setAttribute("aria-pressed", String(this.tool === "wipe")), this.even.setAttribute("aria-pressed", String(this.layout === "even")), this.zoomed.textContent = `${this.zoom} ×`, document.documentElement.dataset.pictures = this.layout, this.draw();
	}
	follow(e) {
		let t = e.target instanceof Element ? e.target : null, n = t?.matches(p) ? t : null;
		if (!n) {
			this.pointed && this.point(null, null);
			return;
		}
		let r = n.getBoundingClientRect();
		this.point(n, [Math.min(Math.max((e.clientX - r.left) / r.width, 0), 1), Math.min(Math.max((e.clientY - r.top) / r.height, 0), 1)]);
	}
	moved(e) {
		let t = g[e.key];
		if (!t) return;
		e.preventDefault();
		let n = this.pointed ?? document.querySelector("[data-panel=\"combined\"] img") ?? document.querySelector(p);
		if (!n) return;
		let [r, i] = this.at ?? [.5, .5];
		this.point(n, [Math.min(Math.max(r + t[0], 0), 1), Math.min(Math.max(i + t[1], 0), 1)]);
	}
	point(e, t) {
		this.pointed = e, this.at = t, this.draw();
	}
	draw() {
		this.clear();
		let { pointed: e, at: t } = this;
		if (!e || !t || this.tool === "none") return;
		if (this.tool === "loupe") {
			for (let n of b(e)) {
				let e = f.over(n);
				e.magnify(t, this.zoom), this.overlays.push(e);
			}
			return;
		}
		let n = b(e, !1), r = (e) => n.find((t) => v(t).dataset.panel === e), i = r("original") ?? n[0], a = e === i ? r("combined") ?? n[1] : i;
		if (!a) return;
		let o = f.over(e);
		o.wipe(t, a, a.alt.split(":")[0]), this.overlays.push(o);
	}
	clear() {
		for (let e of this.overlays) e.remove();
		this.overlays = [];
	}
	pressed(e) {
		if (a(e) || e.ctrlKey || e.metaKey || e.altKey) return;
		let t = e.key.toLowerCase();
		t === "l" ? this.use("loupe") : t === "w" ? this.use("wipe") : t === "d" ? this.lay(this.layout === "large" ? "even" : "large") : t === "+" ? this.zoomBy(1) : t === "-" && this.zoomBy(-1);
	}
};
function b(e, t = !0) {
	let n = e.closest("[data-place]"), r = n?.dataset.place, i = [...(r ? document : n ?? v(e)).querySelectorAll(p)].filter((e) => !r || e.closest("[data-place]")?.dataset.place === r);
	return t ? i.filter((e) => {
		let t = e.getBoundingClientRect();
		return t.bottom > 0 && t.top < innerHeight && t.width > 0;
	}) : i;
}
var x = o({
	css: s + r + c,
	create: (e) => new y(e)
});
export { x as default };
