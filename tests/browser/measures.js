// Measures of what a page looks like to somebody who cannot see it well: contrast of text, order of headings, names of pictures.
(() => {
  const LEAST = 4.5; // WCAG 2.2, success criterion 1.4.3, level AA
  const SMALL_PX2 = 2000; // a slider's thumb holds the label that stands above it

  const parse = (text) => {
    const numbers = (text.match(/[\d.]+/g) ?? []).map(Number);
    const scale = text.startsWith("color(") ? 255 : 1;
    const [red = 0, green = 0, blue = 0, alpha = 1] = numbers;
    return numbers.length < 3 ? [0, 0, 0, 0] : [red * scale, green * scale, blue * scale, alpha];
  };
  const over = (front, back) => {
    const alpha = front[3] + back[3] * (1 - front[3]);
    if (!alpha) return [0, 0, 0, 0];
    const mixed = [0, 1, 2].map((n) => (front[n] * front[3] + back[n] * back[3] * (1 - front[3])) / alpha);
    return [...mixed, alpha];
  };
  const luminance = (colour) => {
    const [red, green, blue] = colour.slice(0, 3).map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const ratio = (one, other) => {
    const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
    return (light + 0.05) / (dark + 0.05);
  };
  const parent = (element) => element.parentElement ?? element.getRootNode().host ?? null;
  const ancestors = function* (element) {
    for (let node = element; node; node = parent(node)) yield node;
  };
  const ground = (element) => {
    const box = element.getBoundingClientRect();
    const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
    let colour = [0, 0, 0, 0];
    for (const node of ancestors(element)) {
      const own = node.getBoundingClientRect();
      const beside = x < own.left || x > own.right || y < own.top || y > own.bottom;
      if (beside && own.width * own.height < SMALL_PX2) continue;
      colour = over(colour, parse(getComputedStyle(node).backgroundColor));
      if (colour[3] > 0.999) return colour;
    }
    return over(colour, [255, 255, 255, 1]);
  };
  const pale = (root, found) => {
    for (const element of root.querySelectorAll("*")) {
      if (element.shadowRoot) pale(element.shadowRoot, found);
      const text = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE).map((node) => node.textContent.trim()).join(" ").trim();
      const box = element.getBoundingClientRect();
      const style = getComputedStyle(element);
      if (!text || ["SCRIPT", "STYLE", "NOSCRIPT"].includes(element.tagName) || box.width < 2 || box.height < 2) continue;
      if (style.visibility !== "visible" || element.closest(":disabled, [aria-disabled=true], [disabled], [aria-hidden=true] canvas")) continue;
      const opacity = [...ancestors(element)].reduce((product, node) => product * Number(getComputedStyle(node).opacity), 1);
      if (opacity < 0.02) continue;
      const back = ground(element);
      const front = parse(element instanceof SVGElement ? style.fill : style.color);
      front[3] *= opacity;
      const contrast = ratio(over(front, back), back);
      if (contrast < LEAST) found.add(`${contrast.toFixed(2)}: ${element.closest("[data-testid]")?.dataset.testid} "${text.slice(0, 40)}"`);
    }
    return found;
  };

  window.paleTexts = () => [...pale(document, new Set())];
  window.headingLevels = () => [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")].map((heading) => Number(heading.tagName[1]));
  window.unnamedImages = () => [...document.images].filter((image) => !image.alt.trim()).map((image) => image.outerHTML.slice(0, 200));

  const shifts = [];
  new PerformanceObserver((list) => shifts.push(...list.getEntries().filter((entry) => !entry.hadRecentInput))).observe({ type: "layout-shift", buffered: true });
  // The sum of all shifts, an upper limit of the cumulative layout shift, which counts the worst five seconds only.
  window.layoutShift = () => shifts.reduce((sum, shift) => sum + shift.value, 0);
})();
