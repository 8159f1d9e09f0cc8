import { equal } from "node:assert/strict";
import { kvTiers } from "../../core/mod.ts";
import { tierOf } from "./media.ts";

const name = (medium?: string, locality?: string) => {
  const tier = tierOf(medium, locality);
  return tier === undefined ? undefined : kvTiers[tier];
};

Deno.test("tierOf() knows every medium in any case, and takes none for the GPU", () => {
  const media = {
    gpu: ["GPU", "gpu", undefined],
    cpu: ["CPU", "Cpu", "CPU_PINNED", "CPU_TIER1"],
    disk: ["DISK", "FS", "CPU_TIER2"],
    shared: ["STORAGE", "OBJ", "EXTERNAL", "SHARED_STORAGE", "OBJECT_STORE", "storage"],
  };
  for (const [tier, names] of Object.entries(media)) for (const medium of names) equal(name(medium), tier);
});

Deno.test("tierOf() puts a remote medium on the shared tier and a local store on the disk", () => {
  for (const medium of ["FS", "STORAGE", "OBJ", "CPU"]) equal(name(medium, "REMOTE"), "shared");
  for (const medium of ["FS", "STORAGE", "OBJ"]) equal(name(medium, "local"), "disk");
  equal(name("CPU", "LOCAL"), "cpu");
  equal(name(undefined, "LOCAL"), "gpu");
});

Deno.test("tierOf() places nothing it does not know", () => {
  for (const medium of ["", "NVME", "constructor"]) equal(name(medium), undefined);
  equal(name("FS", "RACK"), undefined);
});
