import { ModelFileError } from "./model_file_error.ts";

/** An array of numbers; booleans are 0 and 1. */
export type Numbers = Float64Array | Float32Array | Int32Array | Int16Array | Int8Array | Uint8Array;

/** A value of a model file, of either form. Numbers in arrays are kept apart from others, as they are most of a file. */
export type Value = string | number | null | Numbers | readonly Value[] | ReadonlyMap<string, Value>;

/** What bounds the reading of a file before anything is known of the model in it. */
export interface DocumentLimits {
  /** Arrays and objects in one another. */
  readonly nesting: number;
  /** Values and keys, numbers in arrays apart. */
  readonly values: number;
  /** Numbers in all arrays together, eight bytes each. */
  readonly numbers: number;
}

/** What may still be read, counted down. */
export class Budget {
  #values: number;
  #numbers: number;

  constructor({ values, numbers }: DocumentLimits) {
    this.#values = values;
    this.#numbers = numbers;
  }

  value(at: number): void {
    if (--this.#values < 0) throw new ModelFileError("limit", `byte ${at}: the model has too many values`);
  }

  numbers(count: number, at: number): void {
    this.need(count, at);
    this.#numbers -= count;
  }

  /** Refuses more numbers than may still be read, and counts none. */
  need(count: number, at: number): void {
    if (count > this.#numbers) throw new ModelFileError("limit", `byte ${at}: the model has too many numbers`);
  }
}

/** Collects the numbers of one array after the other, whose lengths are not known. */
export class NumberList {
  readonly #budget: Budget;
  #numbers = new Float64Array(1024);
  #length = 0;

  constructor(budget: Budget) {
    this.#budget = budget;
  }

  /** `at` is where the number ends. */
  push(value: number, at: number): void {
    if (this.#length === this.#numbers.length) this.#grow(at);
    this.#numbers[this.#length++] = value;
  }

  /** What was collected, and begins anew. */
  take(at: number): Float64Array {
    this.#budget.numbers(this.#length, at);
    const taken = this.#numbers.slice(0, this.#length);
    this.#length = 0;
    return taken;
  }

  #grow(at: number): void {
    this.#budget.need(this.#length, at);
    const longer = new Float64Array(this.#length * 2);
    longer.set(this.#numbers);
    this.#numbers = longer;
  }
}

/** A value with the path that led to it; every question it cannot answer is an error that names the path. */
export class Part {
  constructor(readonly value: Value, readonly path: string) {}

  fail(expected: string): never {
    throw new ModelFileError("malformed", `${this.path || "model"}: expected ${expected}`);
  }

  /** The member of an object; undefined when it has none of that name. */
  find(key: string): Part | undefined {
    if (!(this.value instanceof Map)) this.fail("an object");
    const value = this.value.get(key);
    return value === undefined ? undefined : new Part(value, this.path ? `${this.path}.${key}` : key);
  }

  get(key: string): Part {
    return this.find(key) ?? this.fail(`a member "${key}"`);
  }

  text(): string {
    return typeof this.value === "string" ? this.value : this.fail("text");
  }

  /** A whole number, also written as text, as XGBoost does for parameters. */
  whole(): number {
    const value = typeof this.value === "string" && this.value.trim() !== "" ? Number(this.value) : this.value;
    return Number.isSafeInteger(value) ? value as number : this.fail("a whole number");
  }

  /** A whole number from 0 to `most`. */
  count(most: number, what: string): number {
    const value = this.whole();
    if (value < 0) this.fail("a number not below 0");
    if (value <= most) return value;
    throw new ModelFileError("limit", `${this.path}: ${what} must be at most ${most}: current value is ${value}`);
  }

  numbers(): Numbers {
    return ArrayBuffer.isView(this.value) ? this.value : this.fail("an array of numbers");
  }

  /** Numbers, one for each of `length`. */
  numbersFor(length: number): Numbers {
    const numbers = this.numbers();
    return numbers.length === length ? numbers : this.fail(`${length} numbers: there are ${numbers.length}`);
  }

  parts(): Part[] {
    if (ArrayBuffer.isView(this.value) && this.value.length === 0) return [];
    if (!Array.isArray(this.value)) this.fail("an array");
    return this.value.map((value, index) => new Part(value, `${this.path}[${index}]`));
  }

  /** Members of an object. */
  entries(): [string, Part][] {
    if (!(this.value instanceof Map)) this.fail("an object");
    return [...this.value].map(([key, value]) => [key, new Part(value, `${this.path}.${key}`)]);
  }
}
