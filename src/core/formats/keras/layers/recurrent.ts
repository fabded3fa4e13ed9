import type { KerasValue, LayerContext, LayerGroup } from '../layerRule';

/** Recurrent layers: shown with their weights; their shapes are known, so that the layers behind them are read. */
export const recurrentLayers: LayerGroup = {
  LSTM: recurrent,
  CuDNNLSTM: recurrent,
  GRU: recurrent,
  CuDNNGRU: recurrent,
  SimpleRNN: recurrent,
};

function recurrent(context: LayerContext): KerasValue {
  const units = context.number('units', 0);
  const [batch = null, time = null] = context.input().shape ?? [];
  return context.opaque(context.flag('return_sequences', false) ? [batch, time, units] : [batch, units]);
}
