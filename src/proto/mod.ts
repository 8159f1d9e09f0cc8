/** Messages and services of the protocols Warmpath speaks, generated from the `.proto` files beside this one. */
export * from "./gen/grpc_health_pb.ts";
export * as smgCommon from "./gen/smg_common_pb.ts";
export * as vllmEngine from "./gen/vllm_engine_pb.ts";
export * as sglangScheduler from "./gen/sglang_scheduler_pb.ts";
export * as warmpathFeed from "./gen/warmpath_feed_pb.ts";
export * as warmpathSnapshot from "./gen/warmpath_snapshot_pb.ts";
