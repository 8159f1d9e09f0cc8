/** Which endpoints exist and how they are: discovery, health, load and models, kept in the endpoint table. */
export * from "./breaker_types.ts";
export * from "./discovery/discovery.ts";
export * from "./discovery/dns.ts";
export * from "./discovery/endpoint_file.ts";
export * from "./discovery/file.ts";
export * from "./discovery/static.ts";
export * from "./health.ts";
export * from "./http.ts";
export * from "./load/dialects.ts";
export * from "./load/sample.ts";
export * from "./load/scraper.ts";
export * from "./models.ts";
export * from "./observer.ts";
export * from "./pool.ts";
export * from "./snapshot.ts";
