import { spawnSync } from 'node:child_process';
import { couplingGroups } from '../../src/core/optimise/groups';
import { decompose } from '../../src/core/particles/decompose';
import { createEngine } from '../../src/engines/registry';
import { mobileNetV1, resnet18 } from '../core/support/knownNetworks';
import { actionTrial, trialActions } from '../core/support/actionTrial';
import { families } from '../core/support/randomFamilies';
import { surgeryTrial } from '../core/support/surgeryTrial';
import { faster, median, milliseconds, timed, type Bench, type Row } from './measure';

const trials = 1000;
/** Random networks of each family for each other action. */
const actionSeeds = 10;

/** Random small networks with random plans, by family; then how long it takes to find what goes together in two known networks. */
export const bench: Bench = {
  title: `Surgery: ${trials} random networks with random plans, and coupling groups of known networks`,
  async run() {
    const engine = await createEngine('auto', { threads: 1 });
    const names = Object.keys(families);
    const rows: Row[] = [];
    let failures = 0;
    for (const [place, family] of names.entries()) {
      const count = Math.floor(trials / names.length) + (place < trials % names.length ? 1 : 0);
      const reasons = new Map<string, number>();
      let [done, failed, largest, removed, idle] = [0, 0, 0, 0, 0];
      for (let seed = 1; seed <= count; seed++) {
        const trial = await surgeryTrial(engine, family, seed + 1000);
        if (trial.outcome === 'done') {
          done++;
          removed += trial.removed;
          largest = Math.max(largest, trial.error);
          if (trial.effect < 1e-4) idle++;
          continue;
        }
        if (trial.outcome === 'failed') {
          failed++;
          console.log(`${family}, seed ${seed + 1000}: ${trial.reason}`);
        } else {
          const reason = trial.reason!.replace(/\bv\d+(\.\d)?\b/g, 'a layer');
          reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
        }
      }
      failures += failed;
      const refused = [...reasons].map(([reason, times]) => `${times} refused: ${reason}`).join('; ') || 'none refused';
      rows.push({
        what: family, ours: `${done} of ${count} done, ${removed} particles`, against: 'the original with the same particles masked',
        theirs: `largest difference ${largest.toExponential(1)}; ${idle} without effect`, ratio: `${refused}; ${failed} failed`,
      });
    }
    for (const action of trialActions) {
      let [done, refused, failed, largest] = [0, 0, 0, 0];
      for (const family of names) {
        for (let seed = 1; seed <= actionSeeds; seed++) {
          const trial = await actionTrial(engine, family, action, seed + 2000);
          if (trial.outcome === 'done') {
            done++;
            largest = Math.max(largest, trial.error);
          }
          if (trial.outcome === 'refused') refused++;
          if (trial.outcome !== 'failed') continue;
          failed++;
          console.log(`${action}, ${family}, seed ${seed + 2000}: ${trial.reason}`);
        }
      }
      failures += failed;
      rows.push({ what: action, ours: `${done} done`, against: 'what it has to equal', theirs: `largest difference ${largest.toExponential(1)}`, ratio: `${refused} refused; ${failed} failed` });
    }
    rows.push(...await groupTimes());
    if (failures) {
      console.error(`${failures} of ${trials} plans failed`);
      process.exitCode = 1;
    }
    return rows;
  },
};

async function groupTimes(): Promise<Row[]> {
  const theirs = torchPruning();
  const rows: Row[] = [];
  for (const [name, make] of [['ResNet-18', resnet18], ['MobileNetV1', mobileNetV1]] as const) {
    const times: number[] = [];
    for (let round = 0; round < 5; round++) {
      // A new graph each time: what goes together is kept by graph.
      const graph = await make();
      times.push(await timed(() => Promise.resolve(couplingGroups(graph, decompose(graph)))));
    }
    const ours = median(times);
    const other = theirs?.[name];
    rows.push({
      what: `particles and coupling groups of ${name}`, ours: milliseconds(ours), against: theirs ? `Torch-Pruning ${theirs['version']}` : 'Torch-Pruning (no $PARTICLIZE_PYTHON)',
      theirs: other === undefined ? '' : milliseconds(other), ratio: other === undefined ? '' : faster(other / ours),
    });
  }
  return rows;
}

/** Times in milliseconds of building its dependency graph and listing all groups. */
function torchPruning(): Record<string, number> | undefined {
  const python = process.env['PARTICLIZE_PYTHON'];
  if (!python) return undefined;
  const run = spawnSync(python, ['-c', script], { encoding: 'utf8', env: { ...process.env, OMP_NUM_THREADS: '1' } });
  if (run.status !== 0) {
    console.log(`Torch-Pruning could not be run: ${run.stderr.trim().split('\n').at(-1)}`);
    return undefined;
  }
  return JSON.parse(run.stdout.trim().split('\n').at(-1)!) as Record<string, number>;
}

const script = `
import importlib.metadata, json, statistics, time, torch, torch_pruning as tp
from torch import nn
torch.set_num_threads(1)

class Block(nn.Module):
    def __init__(self, a, b, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b)
        self.conv2, self.bn2 = nn.Conv2d(b, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b)
        self.down = nn.Sequential(nn.Conv2d(a, b, 1, stride, bias=False), nn.BatchNorm2d(b)) if stride != 1 or a != b else nn.Identity()
    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.down(x))

def resnet():
    layers, width = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)], 64
    for stage in range(4):
        for block in range(2):
            layers.append(Block(width, 64 << stage, 2 if stage and not block else 1))
            width = 64 << stage
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))

def mobilenet():
    layers, width = [nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU6()], 32
    for to, stride in [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)] + [(512, 1)] * 5 + [(1024, 2), (1024, 1)]:
        layers += [nn.Conv2d(width, width, 3, stride, 1, groups=width, bias=False), nn.BatchNorm2d(width), nn.ReLU6()]
        layers += [nn.Conv2d(width, to, 1, bias=False), nn.BatchNorm2d(to), nn.ReLU6()]
        width = to
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1024, 1000))

result = {'version': importlib.metadata.version('torch-pruning')}
for name, make in (('ResNet-18', resnet), ('MobileNetV1', mobilenet)):
    model, x, times = make(), torch.randn(1, 3, 224, 224), []
    for round in range(4):
        start = time.perf_counter()
        graph = tp.DependencyGraph().build_dependency(model, example_inputs=x)
        list(graph.get_all_groups(ignored_layers=[model[-1]]))
        times.append(1000 * (time.perf_counter() - start))
    result[name] = statistics.median(times[1:])
print(json.dumps(result))
`;
