// Writes a TypeScript module in which each dashboard, and the options of each panel, are declared to be what Grafana's own
// schema says: node schema.mjs MODULE DASHBOARD... Then tsc checks it.
import { readFileSync, writeFileSync } from 'node:fs';

const [module, ...paths] = process.argv.slice(2);
const panels = { timeseries: 'TimeSeries', table: 'Table', stat: 'Stat' };
const lines = ["import type { Dashboard } from '@grafana/schema';"];
for (const [type, name] of Object.entries(panels)) {
  lines.push(`import type * as ${name} from '@grafana/schema/dist/esm/raw/composable/${type}/panelcfg/x/${name}PanelCfg_types.gen';`);
}
// In JSON an enum is its value; and the target of an annotation is a query of the data source.
lines.push('type Plain<T> = T extends string ? `${T}` : T extends (infer U)[] ? Plain<U>[] : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;');
lines.push('type Board = Plain<Dashboard> & { annotations: { list: { target: Record<string, unknown> }[] } };');
let n = 0;
const declare = (type, value) => lines.push(`export const x${n++}: ${type} = ${JSON.stringify(value)};`);
for (const path of paths) {
  const board = JSON.parse(readFileSync(path, 'utf8'));
  declare('Board', board);
  for (const { type, options, fieldConfig } of board.panels) {
    declare(`Plain<${panels[type]}.Options>`, options);
    if (fieldConfig.defaults.custom) declare(`Plain<Partial<${panels[type]}.FieldConfig>>`, fieldConfig.defaults.custom);
  }
}
writeFileSync(module, lines.join('\n') + '\n');
