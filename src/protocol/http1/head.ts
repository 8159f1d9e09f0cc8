import { Fields, lists, parseField } from "./fields.ts";
import { Http1Error } from "./text.ts";

/** The longest head of a message either side may send. */
export const headBytesMax = 65_536;
/** Header lines of one message: browsers and proxies stay below a hundred. */
export const fieldsMax = 1_000;

export interface ResponseHead {
  readonly status: number;
  readonly headers: Fields;
}

export interface Http1ResponseHead extends ResponseHead {
  /** Of HTTP/1.x. */
  readonly minor: number;
}

export interface RequestHead {
  readonly method: string;
  /** Path with query, `/` first. */
  readonly path: string;
  readonly minor: number;
  readonly headers: Fields;
}

const statusLine = /^HTTP\/1\.([01]) (\d{3})(?: [^\r\n]*)?$/;
const requestLine = /^([A-Z]+) ([\x21-\x7e]+) HTTP\/1\.([01])$/;

/** Methods a model server may be asked with, and those that are answered 405; another word is no request. */
const methods = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"]);

/** Throws Http1Error for a method that is answered by the port itself. */
export function checkMethod(method: string): void {
  if (!methods.has(method)) throw new Http1Error("its method is unknown");
  if (method === "CONNECT") throw new Http1Error("the router is no tunnel", { status: 405 });
}

/**
 * Throws Http1Error for TRACE. Apart from `checkMethod`, which HTTP/1.1 calls while it reads a head: there this refusal comes
 * after what else is wrong with the request, and in the shape of its path.
 */
export function refuseTrace(method: string): void {
  if (method === "TRACE") throw new Http1Error("the router does not take TRACE", { status: 405 });
}

/** The header lines of a head whose first line ends before `at`. */
function parseFields(text: string, at: number): Fields {
  const fields = new Fields();
  while (at < text.length) {
    let end = text.indexOf("\r\n", at);
    if (end < 0) end = text.length;
    if (end > at && !parseField(text.slice(at, end), fields)) {
      throw new Http1Error(`Cannot read the header line ${JSON.stringify(text.slice(at, Math.min(end, at + 80)))}`);
    }
    if (fields.count > fieldsMax) throw new Http1Error(`More than ${fieldsMax} header lines`, { status: 431 });
    at = end + 2;
  }
  return fields;
}

function firstLine(text: string): string {
  const end = text.indexOf("\r\n");
  return end < 0 ? text : text.slice(0, end);
}

/** Reads a response head, given without its empty line. Throws Http1Error. */
export function parseResponseHead(text: string): Http1ResponseHead {
  const line = firstLine(text);
  const start = statusLine.exec(line);
  if (!start) throw new Http1Error(`Cannot read the status line ${JSON.stringify(line.slice(0, 80))}`);
  const status = Number(start[2]);
  if (status < 100 || status > 599) throw new Http1Error(`Cannot take status ${status}: it must be from 100 to 599`);
  return { minor: Number(start[1]), status, headers: parseFields(text, line.length + 2) };
}

/** Reads a request head, given without its empty line (RFC 9112 section 3). Throws Http1Error. */
export function parseRequestHead(text: string): RequestHead {
  const line = firstLine(text);
  const start = requestLine.exec(line);
  if (!start) throw new Http1Error("it is not valid HTTP/1.1");
  checkMethod(start[1]);
  const method = start[1], minor = Number(start[3]);
  const headers = parseFields(text, line.length + 2);
  const hosts = headers.times("host");
  if (hosts > 1 || (hosts === 0 && minor === 1)) {
    throw new Http1Error("it must be HTTP/1.1 with one host header, or HTTP/1.0");
  }
  return { method, path: originForm(method, start[2]), minor, headers };
}

const plainPath = /^\/[A-Za-z0-9\-._~!$&'()*+,;=:@%/?]*$/;
const hasDotSegment = /\/\.|%2e/i;

/**
 * The path and query a target asks for. The authority of an absolute target is not looked at, as the host header is not:
 * the router is every host. Dot segments are resolved, so that one path has one spelling.
 */
export function originForm(method: string, target: string): string {
  if (plainPath.test(target) && !hasDotSegment.test(target)) return target;
  if (target === "*" && method === "OPTIONS") return "/*";
  const path = target.replace(/^https?:\/\/[^/?#]*/i, "");
  if (path === "") return "/";
  if (path === target && !path.startsWith("/")) throw new Http1Error("its target is no path");
  if (path.includes("#")) throw new Http1Error("its target has a fragment");
  const { pathname, search } = new URL(`http://router${path.startsWith("/") ? path : `/${path}`}`);
  return pathname + search;
}

/** Whether the connection goes on after this message (RFC 9112 section 9.3). */
export function keepsAlive({ minor, headers }: { readonly minor: number; readonly headers: Fields }): boolean {
  const connection = headers.get("connection");
  if (lists(connection, "close")) return false;
  return minor === 1 || lists(connection, "keep-alive");
}
