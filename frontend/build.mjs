// Build each component into one file (Streamlit loads a single module; a lazy chunk would be lost),
// with a banner that ties it to its sources and a list of the licences of what it bundles.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";

const here = dirname(fileURLToPath(import.meta.url));
const forPages = join(here, "../ui/components/earth_mae_components/assets");
const forNotebooks = join(here, "../core/notebook/assets");
const entries = [
  ["mask_painter", "src/painter/index.ts", forPages],
  ["compare", "src/compare/index.ts", forPages],
  ["loupe", "src/loupe/index.ts", forPages],
  ["linked_globe", "src/globe/index.ts", forPages],
  ["mask_painter", "src/notebook/painter.ts", forNotebooks],
  ["compare", "src/notebook/compare.ts", forNotebooks],
  ["linked_globe", "src/notebook/globe.ts", forNotebooks],
];

function sourceFiles(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((item) =>
    item.isDirectory() ? sourceFiles(join(folder, item.name)) : [join(folder, item.name)],
  );
}

// The same rule as tests/frontend/test_built_files.py: SHA-256 over "path NUL bytes NUL" of the sorted files.
function sourceHash() {
  const files = ["build.mjs", "package.json", "package-lock.json", "tsconfig.json"].map((name) =>
    join(here, name),
  );
  files.push(...sourceFiles(join(here, "src")));
  const hash = createHash("sha256");
  for (const name of files.map((file) => relative(here, file).replaceAll("\\", "/")).sort()) {
    hash
      .update(name)
      .update("\0")
      .update(readFileSync(join(here, name)))
      .update("\0");
  }
  return hash.digest("hex");
}

function licenceText(folder) {
  const name = readdirSync(folder).find((file) => /^(licen[sc]e|copying)(\.|$)/i.test(file));
  return name ? readFileSync(join(folder, name), "utf8").trim() : null;
}

function bundledPackages(moduleIds) {
  const folders = new Set();
  for (const id of moduleIds) {
    const found = id.replace(/\0/g, "").match(/^(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//);
    if (found) folders.add(found[1]);
  }
  return [...folders]
    .sort()
    .map((folder) => {
      const card = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
      return {
        name: card.name,
        version: card.version,
        licence: card.license ?? "see text",
        text: licenceText(folder),
      };
    })
    .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

function writeLicences(folder, name, packages) {
  const count = packages.length ? `${packages.length} packages` : "nothing but its own sources";
  const head = `What ${name}.js bundles: ${count}.\n`;
  const parts = packages.map(
    (p) =>
      `${"=".repeat(78)}\n${p.name} ${p.version} (${p.licence})\n\n` +
      `${p.text ?? "The package carries no licence file."}\n`,
  );
  writeFileSync(join(folder, `${name}.licences.txt`), [head, ...parts].join("\n"));
}

const hash = sourceHash();
for (const [name, entry, folder] of entries) {
  const result = await build({
    root: here,
    configFile: false,
    logLevel: "warn",
    define: { "process.env.NODE_ENV": '"production"' },
    build: {
      write: false,
      target: "es2022",
      lib: { entry: join(here, entry), formats: ["es"], fileName: name },
      rolldownOptions: { output: { codeSplitting: false } },
    },
  });
  const chunks = result[0].output;
  if (chunks.length !== 1)
    throw new Error(`${name}: expected one file, got ${chunks.map((chunk) => chunk.fileName).join(", ")}`);
  const file = join(folder, `${name}.js`);
  writeFileSync(
    file,
    `/*! ${name} sources-sha256:${hash} licences: ${name}.licences.txt */\n${chunks[0].code}`,
  );
  writeLicences(folder, name, bundledPackages(chunks[0].moduleIds ?? Object.keys(chunks[0].modules)));
  console.log(`${name}.js ${(statSync(file).size / 1e3).toFixed(0)} kB`);
}
