import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { sglangScheduler } from "../proto/mod.ts";
import { bridgeEvents } from "./grpc_common.ts";
import type { ModelServer } from "./model_server.ts";
import { servedNames } from "./options.ts";
import { serverArgs } from "./server_info.ts";

const sections = ["core", "memory", "spec", "lora", "disagg", "queues", "all"];

/** SGLang's service, as far as it tells of the server; what generates is left to HTTP. */
export function sglangService(router: ConnectRouter, models: ModelServer): void {
  const { options } = models;
  const capacity = options.kvCacheSize * options.blockSize;
  router.service(sglangScheduler.SglangScheduler, {
    healthCheck: () => ({ healthy: true, message: "Health check passed" }),
    getModelInfo: () => ({
      modelPath: options.model,
      tokenizerPath: options.model,
      isGeneration: true,
      weightVersion: "default",
      servedModelName: servedNames(options)[0],
      maxContextLength: options.maxModelLen,
      maxReqInputLen: options.maxModelLen,
    }),
    getServerInfo() {
      const { running, waiting } = models.ranks[0].metrics();
      const nowMs = models.clock.wallMs();
      return {
        serverArgs: serverArgs(options),
        schedulerInfo: { max_total_num_tokens: capacity },
        activeRequests: running + waiting,
        uptimeSeconds: (nowMs - models.startedMs) / 1000,
        lastReceiveTimestamp: nowMs / 1000,
        sglangVersion: "sim",
        serverType: "grpc",
        startTime: { seconds: BigInt(Math.floor(models.startedMs / 1000)), nanos: 0 },
        maxTotalNumTokens: capacity,
      };
    },
    getLoads({ dpRank, include }) {
      const unknown = include.find((section) => !sections.includes(section));
      if (unknown !== undefined) throw new ConnectError(`Unknown section ${unknown}`, Code.InvalidArgument);
      return loadsOf(
        models,
        dpRank,
        (section) => include.length === 0 || include.includes("all") || include.includes(section),
      );
    },
    flushCache() {
      const success = models.resetCache();
      return { success, message: success ? "Cache flushed" : "The engine is busy" };
    },
    subscribeKvEvents: (_, context) => bridgeEvents(models.feeds[0], context),
  });
}

function loadsOf(models: ModelServer, dpRank: number | undefined, wants: (section: string) => boolean) {
  const { options } = models;
  const tokensMax = options.kvCacheSize * options.blockSize;
  const uptimeS = Math.max(1e-3, (models.clock.wallMs() - models.startedMs) / 1000);
  const loads = models.ranks.map((rank, i) => {
    const metrics = rank.metrics();
    const { running, waiting, kvUsage } = metrics;
    return {
      dpRank: i,
      numRunningReqs: running,
      numWaitingReqs: waiting,
      numTotalReqs: running + waiting,
      numUsedTokens: Math.round(kvUsage * tokensMax),
      maxTotalNumTokens: tokensMax,
      tokenUsage: kvUsage,
      genThroughput: metrics.generationTokens / uptimeS,
      cacheHitRate: metrics.prefixQueries === 0 ? 0 : metrics.prefixHits / metrics.prefixQueries,
      utilization: running / options.maxNumSeqs,
      maxRunningRequests: options.maxNumSeqs,
      ...(wants("memory") && { memory: { tokenCapacity: tokensMax } }),
      ...(wants("lora") && {
        lora: {
          slotsUsed: metrics.runningAdapters.length,
          slotsTotal: options.maxLoras,
          utilization: metrics.runningAdapters.length / options.maxLoras,
        },
      }),
      ...(wants("queues") && { queues: { waiting } }),
      numWaitingUncachedTokens: rank.engine.waitingUncachedTokens(),
    };
  }).filter((load) => dpRank === undefined || load.dpRank === dpRank);
  const mean = (read: (load: (typeof loads)[number]) => number) =>
    loads.reduce((sum, load) => sum + read(load), 0) / Math.max(1, loads.length);
  return {
    timestamp: new Date(models.clock.wallMs()).toISOString(),
    version: "sim",
    dpRankCount: options.dataParallelSize,
    loads,
    aggregate: {
      totalRunningReqs: loads.reduce((sum, { numRunningReqs }) => sum + numRunningReqs, 0),
      totalWaitingReqs: loads.reduce((sum, { numWaitingReqs }) => sum + numWaitingReqs, 0),
      totalReqs: loads.reduce((sum, { numTotalReqs }) => sum + numTotalReqs, 0),
      avgTokenUsage: mean(({ tokenUsage }) => tokenUsage),
      avgThroughput: mean(({ genThroughput }) => genThroughput),
      avgUtilization: mean(({ utilization }) => utilization),
    },
  };
}
