// The admin API's document for people: every operation, and every shape it takes and gives. In: the server's document.

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { DOCUMENT } from "../api/client.ts";
import { Notice } from "../components/basics.tsx";

interface Schema {
  $ref?: string;
  type?: string | string[];
  enum?: unknown[];
  oneOf?: Schema[];
  anyOf?: Schema[];
  items?: Schema;
  properties?: Record<string, Schema>;
  required?: string[];
  description?: string;
}

interface Content {
  content?: Record<string, { schema?: Schema }>;
}

interface Operation {
  summary?: string;
  description?: string;
  parameters?: { name: string; in: string; required?: boolean; description?: string; schema: Schema }[];
  requestBody?: Content;
  responses: Record<string, Content & { description?: string }>;
}

interface Document {
  info: { title: string; version: string; description?: string };
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema> };
}

const STATUSES: Record<string, string> = {
  200: "OK",
  201: "Made",
  204: "Done",
  400: "Not understood",
  404: "Not there",
  409: "In conflict",
  412: "Changed by somebody else meanwhile",
  422: "Cannot be",
  428: "If-Match is missing",
  503: "Try again",
};

export function ApiScreen(): JSX.Element {
  const [document, setDocument] = useState<Document | null>(null);
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    const abort = new AbortController();
    fetch(DOCUMENT, { signal: abort.signal })
      .then(async (response) => {
        if (!response.ok) throw new Error(String(response.status));
        setDocument((await response.json()) as Document);
      })
      .catch(() => {
        if (!abort.signal.aborted) setFailed(true);
      });
    return () => abort.abort();
  }, []);
  return (
    <main class="page api-page" id="main">
      <div class="page-head">
        <div>
          <h1>API</h1>
        </div>
        <span class="grow" />
        <a class="button" href={DOCUMENT} download="evertape-openapi.json">
          OpenAPI document
        </a>
      </div>
      {failed && <Notice kind="error">The document could not be read. Load the page again.</Notice>}
      {!document && !failed && <p class="faint">Asking for the document…</p>}
      {document && <Shown document={document} />}
    </main>
  );
}

function Shown({ document }: { document: Document }): JSX.Element {
  const operations = Object.entries(document.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })));
  return (
    <>
      <p>
        <Words of={document.info.description} /> Version {document.info.version}.
      </p>
      <section class="card" aria-label="Operations">
        <h2>Operations</h2>
        {operations.map(({ path, method, operation }) => (
          <details key={method + path} class="operation">
            <summary>
              <span class={`method method-${method.toLowerCase()}`}>{method}</span> <code>{path}</code>
              <span class="faint"><Words of={operation.summary ?? operation.description} /></span>
            </summary>
            <OperationDetails operation={operation} />
          </details>
        ))}
      </section>
      <section class="card" aria-label="Shapes">
        <h2>Shapes</h2>
        {Object.entries(document.components.schemas).map(([name, schema]) => (
          <div key={name} class="shape" id={`shape-${name}`}>
            <h3>{name}</h3>
            {schema.description && <p class="faint"><Words of={schema.description} /></p>}
            {schema.properties ? <Members schema={schema} label={name} /> : <p><Type of={schema} /></p>}
          </div>
        ))}
      </section>
    </>
  );
}

function OperationDetails({ operation }: { operation: Operation }): JSX.Element {
  const body = operation.requestBody?.content?.["application/json"]?.schema;
  const parameters = operation.parameters ?? [];
  return (
    <div class="operation-details">
      {operation.summary && operation.description && <p><Words of={operation.description} /></p>}
      {parameters.length > 0 && (
        <table class="plain">
          <thead>
            <tr>
              <th scope="col">Parameter</th>
              <th scope="col">Type</th>
              <th scope="col">Meaning</th>
            </tr>
          </thead>
          <tbody>
            {parameters.map((p) => (
              <tr key={p.name}>
                <th scope="row">
                  <code>{p.name}</code> <span class="faint">{p.in === "path" ? "in the address" : p.required ? "" : "may be left out"}</span>
                </th>
                <td>
                  <Type of={p.schema} />
                </td>
                <td><Words of={p.description} /></td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {body && (
        <p>
          Takes <Type of={body} />
        </p>
      )}
      <ul class="answers">
        {Object.entries(operation.responses).map(([status, response]) => {
          const [kind, content] = Object.entries(response.content ?? {})[0] ?? [];
          return (
            <li key={status}>
              <b>{status}</b> {response.description || STATUSES[status]}
              {content?.schema && kind === "application/json" ? (
                <>
                  {": "}
                  <Type of={content.schema} />
                </>
              ) : (
                kind && <span class="faint"> ({kind})</span>
              )}
            </li>
          );
        })}
      </ul>
    </div>
  );
}

function Members({ schema, label }: { schema: Schema; label: string }): JSX.Element {
  const required = new Set(schema.required ?? []);
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={`Members of ${label}`}>
      <table class="plain">
        <tbody>
          {Object.entries(schema.properties ?? {}).map(([name, of]) => (
            <tr key={name}>
              <th scope="row">
                <code>{name}</code>
                {!required.has(name) && <span class="faint"> may be left out</span>}
              </th>
              <td>
                <Type of={of} />
              </td>
              <td><Words of={of.description} /></td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** A sentence of the document: what stands between backticks is code. */
function Words({ of }: { of: string | undefined }): JSX.Element {
  return <>{(of ?? "").split("`").map((part, i) => (i % 2 ? <code key={i}>{part}</code> : part))}</>;
}

/** A schema in a few words; shapes are links to where they are shown. */
function Type({ of }: { of: Schema }): JSX.Element {
  const name = of.$ref?.split("/").pop();
  if (name) return <a href={`#shape-${name}`}>{name}</a>;
  const several = of.oneOf ?? of.anyOf;
  if (several) return <Several of={several} />;
  if (of.enum) return <>{of.enum.map(String).join(", ")}</>;
  const kinds = [of.type ?? []].flat();
  if (kinds.includes("array") && of.items)
    return (
      <>
        list of <Type of={of.items} />
      </>
    );
  return <>{kinds.join(" or ")}</>;
}

function Several({ of }: { of: Schema[] }): JSX.Element {
  return (
    <>
      {of.map((one, i) => (
        <span key={i}>
          {i > 0 && " or "}
          <Type of={one} />
        </span>
      ))}
    </>
  );
}
