import { render } from "preact";
import { App } from "./app.tsx";
import { startPreferences } from "./state/preferences.ts";
import { startRoute } from "./state/route.ts";
import { startServerState } from "./state/server.ts";
import "./style/base.css";
import "./style/screens.css";
import "./style/player.css";
import "./style/timeline.css";
import "./style/export.css";
import "./style/dvr-narrow.css";

startPreferences();
startRoute();
startServerState();
render(<App />, document.getElementById("app")!);
