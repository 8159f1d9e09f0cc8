/** Messages and services of the protocols Warmpath speaks, generated from the `.proto` files beside this one. */
export * from "./gen/grpc_health_pb.ts";
