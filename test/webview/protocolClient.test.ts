import assert from 'node:assert';
import type { PanelEvent, PanelRequest } from '../../src/compute/panelProtocol';
import { ProtocolClient } from '../../webview/shared/protocolClient';

function connected() {
  const sent: PanelRequest[] = [];
  let receive: (event: PanelEvent) => void = () => undefined;
  const client = new ProtocolClient({
    send: (message) => sent.push(message),
    listen: (received) => {
      receive = received;
      return () => (receive = () => undefined);
    },
  });
  return { client, sent, receive: (event: PanelEvent) => receive(event) };
}

describe('protocol client', () => {
  it('gives each answer to its call, in whatever order they come', async () => {
    const { client, sent, receive } = connected();
    const first = client.host('goToDefinition', { layer: 'a' });
    const second = client.compute('weights', { layer: 'b', from: 0, to: 1 });
    assert.deepStrictEqual(sent.map(({ kind, method }) => [kind, method]), [['host', 'goToDefinition'], ['compute', 'weights']]);
    receive({ kind: 'result', id: sent[1]!.id, result: 'weights' });
    receive({ kind: 'result', id: sent[0]!.id, result: { found: true } });
    assert.deepStrictEqual([await first, await second], [{ found: true }, 'weights']);
  });

  it('an error rejects with the host’s own sentence', async () => {
    const { client, sent, receive } = connected();
    const call = client.host('suggest', { maxDrop: 0.01 });
    receive({ kind: 'error', id: sent[0]!.id, message: 'digits.npz: it is not there.' });
    await assert.rejects(call, { message: 'digits.npz: it is not there.' });
  });

  it('silence ends in an error that names the call; a late answer is ignored', async () => {
    const { client, sent, receive } = connected();
    await assert.rejects(client.host('snapshot', {}, { timeoutMs: 5 }), /has not answered “snapshot”.*Try again/);
    receive({ kind: 'result', id: sent[0]!.id, result: {} });
  });

  it('a message that cannot be sent rejects', async () => {
    const client = new ProtocolClient({
      send: () => {
        throw new Error('could not be cloned');
      },
      listen: () => () => undefined,
    });
    await assert.rejects(client.host('snapshot', {}), /could not be cloned/);
  });

  it('events reach their listeners until they stop; closing rejects what is open', async () => {
    const { client, receive } = connected();
    const seen: unknown[] = [];
    const stop = client.on('selection', ({ rows }) => seen.push(rows));
    receive({ kind: 'selection', rows: [1] });
    stop();
    receive({ kind: 'selection', rows: [2] });
    assert.deepStrictEqual(seen, [[1]]);
    const open = client.host('snapshot', {});
    client.dispose();
    await assert.rejects(open, /closed/);
  });
});
