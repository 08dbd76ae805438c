// The globe, whose points and colours come as bytes within the widget's own channel.
import { globe } from "../globe";
import { passed, type GlobeData } from "../globe/data";
import { widget } from "./widget";

export default widget(globe, (model) => {
  const data = model.get("data") as GlobeData;
  for (const [name, trait] of [
    [data.points, "points"],
    [data.colours, "colours"],
  ] as const) {
    const bytes = model.get(trait) as DataView | null;
    if (name && bytes?.byteLength && !passed.has(name)) {
      for (const old of passed.keys()) if (old.startsWith(name.split("#")[0]!)) passed.delete(old);
      passed.set(
        name,
        bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer,
      );
    }
  }
});
