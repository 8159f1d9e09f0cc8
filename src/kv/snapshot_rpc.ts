/** Snapshots between routers: served on the port of one, fetched by another at its start. */
import { Code, ConnectError, createClient, createConnectRouter } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { universalServerRequestFromFetch, universalServerResponseToFetch } from "@connectrpc/connect/protocol";
import { warmpathSnapshot } from "../proto/mod.ts";
import { type SnapshotMessage, type SnapshotReader } from "./snapshot.ts";

/** Longest message taken in; a message of ours is about 160 kB. */
const messageBytesMax = 16 << 20;
/** Fetches served at once: each holds one endpoint's blocks. */
const fetchesMax = 4;

/** Answers a request of the snapshot service; undefined for any other path. */
export type SnapshotService = (request: Request) => Promise<Response> | undefined;

/**
 * The service, to be mounted on an HTTP port. `messages` makes a snapshot. `seedCheck` is refused unless it is ours.
 */
export function snapshotService(seedCheck: bigint, messages: () => AsyncIterable<SnapshotMessage>): SnapshotService {
  let running = 0;
  const router = createConnectRouter({ grpc: false, grpcWeb: false });
  router.service(warmpathSnapshot.SnapshotService, {
    async *fetch(request, { signal }) {
      if (request.seedCheck !== seedCheck) {
        throw new ConnectError("prefix.hashSeed differs between the two routers", Code.FailedPrecondition);
      }
      if (running >= fetchesMax) throw new ConnectError("too many snapshots at once", Code.ResourceExhausted);
      running++;
      try {
        for await (const message of messages()) {
          if (signal.aborted) return;
          yield message;
        }
      } finally {
        running--;
      }
    },
  });
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
  return (request) => {
    const handler = handlers.get(new URL(request.url).pathname);
    if (!handler) return undefined;
    return handler(universalServerRequestFromFetch(request, {})).then(universalServerResponseToFetch);
  };
}

/**
 * Fetches a router's snapshot into `reader`; `token` is what its admin port asks for. Rejects when the router cannot be
 * reached or its snapshot not be used.
 */
export async function fetchSnapshot(
  baseUrl: string,
  seedCheck: bigint,
  reader: SnapshotReader,
  signal: AbortSignal,
  token?: string,
): Promise<void> {
  const transport = createConnectTransport({
    baseUrl,
    httpVersion: "1.1",
    readMaxBytes: messageBytesMax,
    // Hashes do not compress.
    acceptCompression: [],
  });
  const client = createClient(warmpathSnapshot.SnapshotService, transport);
  const headers = token === undefined ? undefined : { authorization: `Bearer ${token}` };
  for await (const message of client.fetch({ seedCheck }, { signal, headers })) reader.read(message);
  reader.end();
}
