/**
 * Asks the admin port of this container whether the process lives; exits 0 when it answers 200 in time, 1 otherwise.
 * Reads the port from WARMPATH_ADMIN_PORT, 9090 when unset.
 */

/** Milliseconds the answer may take; below the timeout that the image sets for the whole check. */
const answerMsMax = 2000;

const port = Deno.env.get("WARMPATH_ADMIN_PORT") || "9090";
try {
  const response = await fetch(`http://127.0.0.1:${port}/livez`, { signal: AbortSignal.timeout(answerMsMax) });
  await response.body?.cancel();
  if (response.status !== 200) throw new Error(`/livez answers ${response.status}`);
} catch (error) {
  console.error(`Cannot find the admin port ${port} alive: ${error instanceof Error ? error.message : error}`);
  Deno.exit(1);
}
