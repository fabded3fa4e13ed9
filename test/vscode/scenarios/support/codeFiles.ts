/** A definition with helper functions behind it, up to so many lines: as files grow. */
export function longPython(definition: string, lines: number): string {
  const text = [definition];
  for (let count = definition.split('\n').length, index = 0; count < lines; count += 10, index++) {
    text.push(`

def helper_${index}(first, second=${index}):
    """Adds up."""
    total = first * ${index} + second
    for one in range(${index % 7}):
        total += one
    return {"total": total}

`);
  }
  return text.join('');
}

/** The digits network with tabs, CRLF and names outside ASCII. */
export const oddPython = [
  'from torch import nn',
  'from torch.nn import functional as F',
  '',
  '# Größen: 16 und 32 数字 🧮',
  'breite_größe = 16',
  '',
  'class Größennetz(nn.Module):',
  '\tdef __init__(self, 宽度=32):',
  '\t\tsuper().__init__()',
  '\t\tself.conv1 = nn.Conv2d(1, breite_größe, 3, padding=1)',
  '\t\tself.conv2 = nn.Conv2d(breite_größe, 宽度, 3, padding=1)',
  '\t\tself.dense1 = nn.Linear(宽度 * 16, 64)  # „tief“',
  '\t\tself.dense2 = nn.Linear(64, 10)',
  '',
].join('\r\n');

/** The digits network's layers under other names, and one more that the model does not have. */
export const unnamed = `
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 16, 3)
        self.second = nn.Conv2d(16, 32, 3)
        self.spare = nn.Conv2d(32, 48, 3)
        self.third = nn.Linear(512, 64)
        self.fourth = nn.Linear(64, 10)
`;

/** The definition and another one of the same name. */
export function twoClasses(definition: string): string {
  return `${definition}\n\n${definition.slice(definition.indexOf('class '), definition.indexOf('def load'))}`;
}

/** A notebook with the imports in one cell, a magic and a shell line in the next, and the class in a third. */
export function notebookOf(definition: string): string {
  const at = definition.indexOf('class ');
  const cells = ['%matplotlib inline\n!echo $HOME', definition.slice(definition.indexOf('import torch'), at), definition.slice(at, definition.indexOf('def load'))];
  return JSON.stringify({
    cells: cells.map((source, index) => ({ cell_type: 'code', id: `cell${index}`, metadata: {}, execution_count: null, outputs: [], source })),
    metadata: { kernelspec: { name: 'python3', display_name: 'Python 3' }, language_info: { name: 'python' } }, nbformat: 4, nbformat_minor: 5,
  });
}
