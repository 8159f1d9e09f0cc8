/** Vocabulary of the router: the nouns that travel between rooms, time, chance, bounded containers. No I/O. */
export * from "./attempt.ts";
export * from "./breaker.ts";
export * from "./bytes.ts";
export * from "./clock.ts";
export * from "./endpoint.ts";
export * from "./errors.ts";
export * from "./host.ts";
export * from "./outcome.ts";
export * from "./placement.ts";
export * from "./prng.ts";
export * from "./quantile.ts";
export * from "./request.ts";
export * from "./tier.ts";
export * from "./reservation.ts";
export * from "./bounded.ts";
