// A patch mask as base64url of packed bits, row-major, first patch in the highest bit.
// core/browser/bitmap.py does the same in Python.

export function encodeBits(cells: Uint8Array): string {
  const packed = new Uint8Array((cells.length + 7) >> 3);
  for (let i = 0; i < cells.length; i++) if (cells[i]) packed[i >> 3]! |= 128 >> (i & 7);
  let text = "";
  for (const byte of packed) text += String.fromCharCode(byte);
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

export function decodeBits(text: string, length: number): Uint8Array {
  const packed = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  const cells = new Uint8Array(length);
  for (let i = 0; i < length; i++) cells[i] = ((packed.charCodeAt(i >> 3) || 0) >> (7 - (i & 7))) & 1;
  return cells;
}
