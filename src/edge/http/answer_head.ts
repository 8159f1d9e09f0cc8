import { bytesOf, type HeaderFields } from "../../protocol/mod.ts";

const reasons: Readonly<Record<number, string>> = {
  200: "OK",
  201: "Created",
  202: "Accepted",
  204: "No Content",
  206: "Partial Content",
  207: "Multi-Status",
  301: "Moved Permanently",
  302: "Found",
  304: "Not Modified",
  307: "Temporary Redirect",
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  409: "Conflict",
  412: "Precondition Failed",
  413: "Content Too Large",
  414: "URI Too Long",
  415: "Unsupported Media Type",
  422: "Unprocessable Content",
  424: "Failed Dependency",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  499: "Client Closed Request",
  500: "Internal Server Error",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
};

/** Fields the connection writes by itself, from what it knows of the message. */
export const ownFields = new Set(["connection", "keep-alive", "transfer-encoding", "content-length"]);

/** How an answer's body is framed: its length, chunks, the connection's end, or no body at all. */
export type AnswerFraming = number | "chunked" | "until-close" | "none";

/** The head of an answer, its empty line included, with `room` bytes behind it. */
export function answerHead(
  { status, headers, framing, connection, date, room = 0 }: {
    readonly status: number;
    readonly headers: HeaderFields;
    readonly framing: AnswerFraming;
    /** Value of the connection header; absent when it says what is so anyway. */
    readonly connection?: "close" | "keep-alive";
    /** Put in where the answer brings none. */
    readonly date: string;
    readonly room?: number;
  },
): Uint8Array<ArrayBuffer> {
  let text = `HTTP/1.1 ${status} ${reasons[status] ?? "Status"}\r\n`;
  let dated = false;
  headers.forEach((value, name) => {
    if (ownFields.has(name)) return;
    if (name === "date") dated = true;
    text += `${name}: ${value}\r\n`;
  });
  if (!dated) text += `date: ${date}\r\n`;
  if (framing === "chunked") text += "transfer-encoding: chunked\r\n";
  else if (typeof framing === "number") text += `content-length: ${framing}\r\n`;
  if (connection) text += `connection: ${connection}\r\n`;
  return bytesOf(text + "\r\n", room);
}
