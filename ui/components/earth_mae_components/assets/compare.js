/*! compare sources-sha256:935f17166b29538bcc853191cf4dd3cd9e4ef5612524c56c451995e1e643de85 licences: compare.licences.txt */
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
var a = ".bar{flex-wrap:wrap;align-items:center;gap:6px 10px;margin-bottom:8px;display:flex}.group{border:1px solid var(--st-widget-border-color,var(--st-border-color,#8885));border-radius:var(--st-button-radius,8px);display:inline-flex;overflow:hidden}.tool{all:unset;box-sizing:border-box;cursor:pointer;min-width:34px;height:34px;color:var(--st-text-color,#222);justify-content:center;align-items:center;gap:4px;padding:0 7px;font-size:13px;display:inline-flex}.tool+.tool{border-left:1px solid var(--st-border-color,#8883)}.tool:hover{background:var(--st-secondary-background-color,#8882)}.tool[aria-pressed=true],.tool[aria-checked=true]{background:var(--st-primary-color,#ff4b4b);color:var(--st-background-color,#fff)}.tool:focus-visible{outline:2px solid var(--st-primary-color,#ff4b4b);outline-offset:-2px}.tool[aria-pressed=true]:focus-visible,.tool[aria-checked=true]:focus-visible{outline-color:var(--st-background-color,#fff)}.tool:disabled{opacity:.35;cursor:default}.status{color:var(--st-text-color,#222);font-variant-numeric:tabular-nums;opacity:.85;flex-wrap:wrap;justify-content:space-between;gap:2px 16px;min-height:1.4em;margin-top:6px;font-size:13px;display:flex}.unseen{clip-path:inset(50%);white-space:nowrap;width:1px;height:1px;position:absolute;overflow:hidden}@media (pointer:coarse){.tool{min-width:40px;height:40px}}[hidden]{display:none!important}", o = ".compare{font-family:var(--st-font,sans-serif);color:var(--st-text-color,#222)}.stage{touch-action:pan-y;cursor:crosshair;background:var(--st-secondary-background-color,#eee);-webkit-user-select:none;user-select:none;border-radius:4px;outline:none;width:100%;line-height:0;position:relative;overflow:hidden}.stage:focus-visible{box-shadow:0 0 0 3px var(--st-primary-color,#ff4b4b)}.stage[data-mode=wipe]{touch-action:none;cursor:ew-resize}.stage img{-webkit-user-drag:none;pointer-events:none;width:100%;height:auto;display:block}.stage img+img{height:100%;position:absolute;inset:0}.stage img.enlarged{image-rendering:pixelated}.line{pointer-events:none;background:#fff;width:2px;margin-left:-1px;position:absolute;top:0;bottom:0;box-shadow:0 0 0 1px #000a}.line:after{content:\"↔\";text-align:center;color:#111;background:#fff;border-radius:50%;width:30px;height:30px;margin:-15px;font-size:17px;line-height:30px;position:absolute;top:50%;left:50%;box-shadow:0 0 0 1px #0006}.tag{color:#fff;text-overflow:ellipsis;white-space:nowrap;pointer-events:none;background:#000b;border-radius:4px;max-width:46%;padding:3px 8px;font-size:12px;line-height:1.4;transition:opacity .12s;position:absolute;bottom:8px;overflow:hidden}.tag.left{left:8px}.tag.right{right:8px}.tag.off{opacity:.15}.pin{pointer-events:none;border:1.5px solid #fff;border-radius:50%;outline:1.5px solid #000b;width:11px;height:11px;margin:-6px;position:absolute}.position{min-width:90px;accent-color:var(--st-primary-color,#ff4b4b);flex:120px}.probe{font-variant-numeric:tabular-nums;grid-template-columns:auto repeat(3,minmax(3.2em,auto));justify-content:start;gap:1px 14px;min-height:5.6em;margin-top:6px;font-size:13px;display:grid}.probe .head{opacity:.7}.probe b{font-weight:600}.hint{opacity:.7;grid-column:1/-1}", s = class e {
	width;
	height;
	data;
	constructor(e, t, n) {
		this.width = e, this.height = t, this.data = n;
	}
	static of(t) {
		let { naturalWidth: n, naturalHeight: r } = t;
		if (!n || !r) return null;
		let i = document.createElement("canvas");
		i.width = n, i.height = r;
		let a = i.getContext("2d", { willReadFrequently: !0 });
		return a.drawImage(t, 0, 0), new e(n, r, a.getImageData(0, 0, n, r).data);
	}
	at(e, t) {
		let n = Math.min(Math.floor(e * this.width), this.width - 1), r = 4 * (Math.min(Math.floor(t * this.height), this.height - 1) * this.width + n);
		return [
			this.data[r],
			this.data[r + 1],
			this.data[r + 2]
		];
	}
}, c = [
	[
		"wipe",
		"Wipe",
		"W",
		"<rect x=\"3\" y=\"4\" width=\"18\" height=\"16\" rx=\"1\"/><path d=\"M12 2v20\"/>"
	],
	[
		"flip",
		"Flip",
		"F",
		"<path d=\"M4 9h13l-3-3M20 15H7l3 3\"/>"
	],
	[
		"opacity",
		"Fade",
		"O",
		"<circle cx=\"9\" cy=\"12\" r=\"6\"/><circle cx=\"15\" cy=\"12\" r=\"6\"/>"
	]
], l = 700, u = class {
	mode = "wipe";
	position = {
		wipe: 50,
		opacity: 50,
		flip: 0
	};
	blinking = 0;
	probeAt = null;
	pixels = {
		left: null,
		right: null
	};
	data = null;
	left = e("img", { alt: "" });
	right = e("img", { alt: "" });
	line = e("div", { class: "line" });
	pin = e("div", {
		class: "pin",
		hidden: !0
	});
	leftTag = e("div", { class: "tag left" });
	rightTag = e("div", { class: "tag right" });
	stage = e("div", {
		class: "stage",
		tabindex: "0",
		role: "group"
	}, this.left, this.right, this.line, this.pin, this.leftTag, this.rightTag);
	bar = e("div", { class: "bar" });
	slider = e("input", {
		type: "range",
		min: "0",
		max: "100",
		step: "1",
		class: "position"
	});
	probe = e("div", { class: "probe" });
	spoken = e("div", {
		class: "unseen",
		"aria-live": "polite"
	});
	buttons = /* @__PURE__ */ new Map();
	blink;
	observer = new ResizeObserver(() => this.sharpen());
	constructor(t) {
		t.className = "compare";
		for (let [e, t, r, i] of c) this.buttons.set(e, n(t, r, i, () => this.choose(e)));
		this.blink = n("Blink: flip automatically", "Space flips once", "<path d=\"M5 4v16l14-8Z\"/>", () => this.toggleBlink());
		let i = e("div", {
			class: "group",
			role: "group",
			"aria-label": "How to compare"
		}, ...this.buttons.values());
		this.bar.append(i, e("div", { class: "group" }, this.blink), this.slider), t.append(this.bar, this.stage, this.probe, this.spoken), this.slider.addEventListener("input", () => this.moveTo(Number(this.slider.value)));
		for (let e of ["left", "right"]) this[e].addEventListener("load", () => {
			this.pixels[e] = s.of(this[e]), this.sharpen(), this.showProbe();
		});
		this.listen(t), r(t), this.observer.observe(this.stage), this.showProbe();
	}
	destroy() {
		this.observer.disconnect(), clearInterval(this.blinking);
	}
	update(e) {
		let t = !this.data || this.data.mode !== e.mode;
		for (let t of ["left", "right"]) this.data?.[t] !== e[t] && (this.pixels[t] = null, this[t].src = e[t]);
		this.data = e, this.left.alt = e.leftLabel, this.right.alt = e.rightLabel, this.leftTag.textContent = e.leftLabel, this.rightTag.textContent = e.rightLabel, this.bar.style.maxWidth = this.stage.style.maxWidth = this.probe.style.maxWidth = `${e.maxWidth}px`, this.stage.setAttribute("aria-label", `${e.leftLabel} and ${e.rightLabel}. Arrow keys move the line, space flips, W wipe, F flip, O fade.`), t ? this.choose(e.mode) : this.show(), this.showProbe();
	}
	choose(e) {
		this.mode = e, e !== "flip" && this.blinking && this.toggleBlink(), this.stage.dataset.mode = e;
		for (let [t, n] of this.buttons) n.setAttribute("aria-pressed", String(t === e));
		this.show();
	}
	show() {
		let e = this.position[this.mode], { mode: t } = this;
		this.slider.hidden = t === "flip", this.slider.value = String(e), this.slider.setAttribute("aria-label", t === "wipe" ? "Position of the line in percent" : `Opacity of ${this.data?.rightLabel ?? "the right picture"}`), this.blink.parentElement.hidden = t !== "flip", this.line.hidden = t !== "wipe", this.line.style.left = `${e}%`, this.right.style.clipPath = t === "wipe" ? `inset(0 0 0 ${e}%)` : "", this.right.style.opacity = t === "opacity" ? String(e / 100) : t === "flip" && e === 0 ? "0" : "1", this.leftTag.classList.toggle("off", t === "wipe" ? e < 3 : e > 97), this.rightTag.classList.toggle("off", t === "wipe" ? e > 97 : e < 3);
	}
	moveTo(e) {
		this.position[this.mode] = Math.min(Math.max(e, 0), 100), this.show();
	}
	flip() {
		this.mode !== "flip" && this.choose("flip"), this.moveTo(this.position.flip ? 0 : 100), this.blinking || (this.spoken.textContent = this.position.flip ? this.data.rightLabel : this.data.leftLabel);
	}
	toggleBlink() {
		clearInterval(this.blinking), this.blinking = this.blinking ? 0 : window.setInterval(() => this.flip(), l), this.blink.setAttribute("aria-pressed", String(this.blinking !== 0));
	}
	sharpen() {
		for (let e of [this.left, this.right]) e.classList.toggle("enlarged", e.naturalWidth < this.stage.clientWidth);
	}
	listen(e) {
		let { stage: t } = this, n = (e) => {
			let n = t.getBoundingClientRect(), r = (e) => Math.min(Math.max(e, 0), .999999);
			return [r((e.clientX - n.left) / n.width), r((e.clientY - n.top) / n.height)];
		};
		t.addEventListener("pointerdown", (e) => {
			e.button === 0 && (this.mode === "flip" && this.flip(), this.mode === "wipe" && (t.setPointerCapture(e.pointerId), this.moveTo(100 * n(e)[0])));
		}), t.addEventListener("pointermove", (e) => {
			this.mode === "wipe" && t.hasPointerCapture(e.pointerId) && this.moveTo(100 * n(e)[0]), this.probeAt = n(e), this.showProbe();
		}), t.addEventListener("pointerleave", () => {
			this.probeAt = null, this.showProbe();
		}), e.addEventListener("keydown", (e) => {
			this.key(e) && e.preventDefault();
		});
	}
	key(e) {
		if (e.ctrlKey || e.metaKey || e.altKey) return !1;
		let t = {
			w: "wipe",
			f: "flip",
			o: "opacity"
		}, n = {
			ArrowLeft: -1,
			ArrowRight: 1,
			PageDown: -10,
			PageUp: 10,
			Home: -100,
			End: 100
		};
		if (t[e.key.toLowerCase()]) this.choose(t[e.key.toLowerCase()]);
		else if (e.target !== this.stage) return !1;
		else if (e.key === " ") this.flip();
		else if (n[e.key] && this.mode !== "flip") this.moveTo(this.position[this.mode] + n[e.key] * (e.shiftKey ? 10 : 1));
		else return !1;
		return !0;
	}
	showProbe() {
		let { left: t, right: n } = this.pixels, { data: r, probeAt: i } = this;
		if (this.pin.hidden = !i, !r || !i || !t || !n) {
			this.probe.replaceChildren(e("span", { class: "hint" }, "Point at a pixel to read its value in both pictures."));
			return;
		}
		this.pin.style.left = `${100 * i[0]}%`, this.pin.style.top = `${100 * i[1]}%`;
		let [a, o] = r.range, s = (e) => a + e / 255 * (o - a), c = (t, n) => [e("span", {}, t), ...n.map((t) => e("b", {}, t.toFixed(r.digits)))], [l, u] = [t.at(...i).map(s), n.at(...i).map(s)], d = `x ${Math.floor(i[0] * t.width)}, y ${Math.floor(i[1] * t.height)}`;
		this.probe.replaceChildren(...[
			d,
			"R",
			"G",
			"B"
		].map((t) => e("span", { class: "head" }, t)), ...c(r.leftLabel, l), ...c(r.rightLabel, u), ...c("Difference", u.map((e, t) => e - l[t])));
	}
}, d = {
	css: a + o,
	create: (e) => new u(e)
}, f = i(d);
export { d as compare, f as default };
