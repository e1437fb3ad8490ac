// What a page does with its flags: OpenFeature's SDK for browsers and its provider for OFREP, as they come from npm.
import { OpenFeature, ProviderEvents } from '@openfeature/web-sdk';
import { OFREPWebProvider } from '@openfeature/ofrep-web-provider';

const silent = { debug() {}, info() {}, warn() {}, error() {} };
const kinds = { boolean: 'Boolean', string: 'String', integer: 'Number', float: 'Number', object: 'Object' };
const changes = [];

window.flags = {
  /** Begins with a context; says why where it fails. */
  async begin(baseUrl, context) {
    OpenFeature.setLogger(silent);
    OpenFeature.addHandler(ProviderEvents.ConfigurationChanged, () => changes.push(Date.now()));
    await OpenFeature.setContext(context);
    try {
      await OpenFeature.setProviderAndWait(new OFREPWebProvider({ baseUrl, pollInterval: 0, cacheMode: 'disabled' }));
      return 'ready';
    } catch (error) {
      return String(error.message ?? error);
    }
  },
  /** Value, variant, reason and error of a flag for a context. */
  async answer({ flag, type, context, default: preset }) {
    await OpenFeature.setContext(context);
    const told = OpenFeature.getClient()[`get${kinds[type]}Details`](flag, preset);
    return [told.value, told.variant ?? null, told.reason, told.errorCode ?? null];
  },
  value: (flag) => OpenFeature.getClient().getStringValue(flag, 'none'),
  changes: () => changes.length,
};
