/**
 * `metrics-data-source`, `models-data-source`: how an endpoint's load and model list are fetched.
 * `endpoint-notification-source` (no parameters): tells producers of KV events which endpoints come and go. The router's
 * feeds follow its pool without it; it is accepted for configurations that list it.
 *
 * Parameters: `scheme` http|https (http), `path` (/metrics; /v1/models), `port` (the endpoint's own),
 * `insecureSkipVerify` (true), `caCertPath`, `clientCertPath`, `clientKeyPath`, `interval` (the pool's own).
 */
import { z } from "zod";
import { definePlugin, durationMs, noParams } from "../definition.ts";

/** What the pool needs to fetch a page from an endpoint. */
export interface HttpSourceParams {
  readonly scheme: "http" | "https";
  readonly path: string;
  readonly port?: number;
  readonly insecureSkipVerify: boolean;
  readonly caCertPath?: string;
  readonly clientCertPath?: string;
  readonly clientKeyPath?: string;
  readonly intervalMs?: number;
}

function httpSourceType(type: string, path: string, summary: string) {
  return definePlugin({
    type,
    kinds: ["source"],
    summary,
    params: z.strictObject({
      scheme: z.enum(["http", "https"], "must be http or https").default("http"),
      path: z.string().startsWith("/", "must begin with /").default(path),
      port: z.number().int().min(1, "must be at least 1").max(65535, "must be at most 65535").optional(),
      insecureSkipVerify: z.boolean().default(true),
      caCertPath: z.string().optional(),
      clientCertPath: z.string().optional(),
      clientKeyPath: z.string().optional(),
      interval: durationMs.optional(),
    }).refine((params) => (params.clientCertPath === undefined) === (params.clientKeyPath === undefined), {
      message: "must have both of clientCertPath and clientKeyPath, or neither",
    }),
    resolve: ({ interval, ...params }): HttpSourceParams => ({ ...params, intervalMs: interval }),
  });
}

export const metricsDataSource = httpSourceType(
  "metrics-data-source",
  "/metrics",
  "load from each endpoint's metrics page",
);
export const modelsDataSource = httpSourceType("models-data-source", "/v1/models", "model list from each endpoint");

export const endpointNotificationSource = definePlugin({
  type: "endpoint-notification-source",
  kinds: ["source"],
  summary: "endpoints that come and go, for feeds of KV events",
  params: noParams,
});
