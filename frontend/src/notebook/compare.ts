import { compare } from "../compare";
import { widget } from "./widget";

export default widget(compare);
