import assert from 'node:assert/strict';
import { loadParse } from '../../../src/compute/parsers';
import { applyEdits } from '../../../src/core/source/editSource';
import type { Language, Parse } from '../../../src/core/source/syntaxTree';
import { weightsEdit } from '../../../src/core/source/weightsEdit';

describe('source: the line that loads the weights', () => {
  let parse: Parse;
  before(async () => {
    parse = await loadParse(['python', 'typescript']);
  });

  const edited = (code: string, oldName: string, newName: string, language: Language = 'python') =>
    applyEdits(code, weightsEdit(code, language, parse, oldName, newName).edits);

  it('follows the folders that are written', () => {
    assert.equal(edited('m.load_weights("model.keras")', 'model.keras', 'model-2.keras'), 'm.load_weights("model-2.keras")');
    assert.equal(edited("x = torch.load('./runs/a/model.pt', weights_only=True)", 'model.pt', 'b.pt'), "x = torch.load('./runs/a/b.pt', weights_only=True)");
    assert.equal(
      edited("await tf.loadLayersModel('file://./web/tfjs/model.json')", 'tfjs/model.json', 'small/model.json', 'typescript'),
      "await tf.loadLayersModel('file://./web/small/model.json')",
    );
    assert.equal(edited('torch.load("model.pt")', 'runs/model.pt', 'runs/small.pt'), 'torch.load("small.pt")');
  });

  it('leaves other files, other folders, documentation and what is written to alone', () => {
    for (const code of [
      'torch.load("other.pt")', 'torch.load("mymodel.pt")', 'tf.load("elsewhere/model.pt")', '"model.pt"\nx = 1',
      'torch.save(m.state_dict(), "model.pt")', 'FILE = "model.pt"\ntorch.save(m.state_dict(), FILE)\nm.load_state_dict(torch.load(FILE))',
      'PATH = Path(__file__).with_name("model.pt")\ntorch.save(m, PATH)', 'torch.load(f"{folder}/model.pt")', '# model.pt\nx = 1',
    ]) assert.equal(edited(code, 'runs/model.pt', 'runs/small.pt'), code);
  });

  it('says that a file of another kind is not what the code reads', () => {
    const code = 'm.load_weights("model.keras")';
    const { edits, manual } = weightsEdit(code, 'python', parse, 'model.keras', 'model.onnx');
    assert.deepEqual(edits, []);
    assert.deepEqual(manual.map(({ span, reason }) => [code.slice(span.start, span.end), reason]), [
      ['"model.keras"', 'the new weights are in model.onnx, which this code does not load: it reads .keras files'],
    ]);
  });
});
