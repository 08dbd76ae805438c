import { painter } from "../painter";
import { widget } from "./widget";

export default widget(painter);
