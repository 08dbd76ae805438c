// The vertex shader drops points behind the horizon, so that those in front can ignore depth and stay whole
// discs.
import { LayerExtension } from "@deck.gl/core";

export class Horizon extends LayerExtension {
  static override extensionName = "Horizon";
  static override componentName = "Horizon";

  override getShaders(): unknown {
    return {
      inject: {
        "vs:DECKGL_FILTER_GL_POSITION": `
  if (project.projectionMode == PROJECTION_MODE_GLOBE) {
    vec3 place = geometry.position.xyz;
    if (dot(place, project.cameraPosition) < dot(place, place)) position = vec4(2.0, 2.0, 2.0, 1.0);
  }`,
      },
    };
  }
}
