/*! linked_globe sources-sha256:d616db721a2bcfe2d32abcf4ebf7971e3dd61d2c3ef3f6412628e530599b4e31 licences: linked_globe.licences.txt */
// src/globe/index.ts
var e = () => void 0;
export { e as default };
