import { deepStrictEqual, equal } from "node:assert/strict";
import * as layout from "./scan_layout.ts";
import { RequestRecord } from "./scan_record.ts";

Deno.test("RequestRecord reads the words of the record at its address", () => {
  const address = 128;
  const buffer = new ArrayBuffer(address + layout.stateAt);
  const record = new RequestRecord(buffer, address);
  const view = new DataView(buffer, address);
  view.setUint32(layout.errorAt, 3, true);
  view.setUint32(layout.errorOffsetAt, 44, true);
  view.setUint32(layout.openAt, 5, true);
  view.setUint32(layout.emptyAt, 1, true);
  deepStrictEqual([record.error, record.errorOffset, record.open, record.empty], [3, 44, 5, true]);

  view.setUint32(layout.fieldsAt + layout.fieldText2 * 8, 7, true);
  view.setUint32(layout.fieldsAt + layout.fieldText2 * 8 + 4, 9, true);
  deepStrictEqual(record.field(layout.fieldText2), { start: 7, end: 9 });
  equal(record.field(layout.fieldText1), undefined);

  const group = layout.groupsAt + layout.rankSecond * layout.groupBytes;
  view.setUint32(group + layout.groupTextBytesAt, 1, true);
  view.setUint32(group + layout.groupMediaPartsAt, 2, true);
  view.setFloat64(group + layout.groupMediaTokensAt, 2 ** 40, true);
  view.setUint32(group + layout.groupTokensAt, 4, true);
  view.setUint32(group + layout.groupShapeAt, 5, true);
  view.setUint32(group + layout.groupProblemAt, 6, true);
  view.setUint32(group + layout.groupProblemOffsetAt, 7, true);
  deepStrictEqual(record.group(layout.rankSecond), {
    textBytes: 1,
    mediaParts: 2,
    mediaTokens: 2 ** 40,
    tokens: 4,
    shape: 5,
    problem: 6,
    problemOffset: 7,
  });
});

Deno.test("the record's parts lie apart", () => {
  const ends: [number, number][] = [
    [layout.emptyAt + 4, layout.fieldsAt],
    [layout.fieldsAt + layout.fieldCount * 8, layout.groupsAt],
    [layout.groupsAt + layout.rankCount * layout.groupBytes, layout.stateAt],
  ];
  for (const [end, next] of ends) equal(end <= next, true, `${end} and ${next}`);
});
