/**
 * Everything that package.json contributes, typed, in one place: the code below src/host takes its names from here, and
 * test/core/contributions.test.ts fails, printing what to change, when package.json says something else. Texts in
 * per cent signs are keys of package.nls.json.
 */
export const commands = {
  open: 'particlize.open',
  openFile: 'particlize.openFile',
  close: 'particlize.close',
  runBehaviour: 'particlize.runBehaviour',
  cancel: 'particlize.cancel',
  suggest: 'particlize.suggest',
  applySuggestion: 'particlize.applySuggestion',
  evaluate: 'particlize.evaluate',
  chooseRecipe: 'particlize.chooseRecipe',
  showPanel: 'particlize.showPanel',
  showActions: 'particlize.showActions',
  revealParticle: 'particlize.revealParticle',
  goToDefinition: 'particlize.goToDefinition',
  revealFromCode: 'particlize.revealFromCode',
  linkLayer: 'particlize.linkLayer',
  findModel: 'particlize.findModel',
  searchParticles: 'particlize.searchParticles',
  clearSearch: 'particlize.clearSearch',
  sortParticles: 'particlize.sortParticles',
  copyId: 'particlize.copyId',
  optimiseUntil: 'particlize.optimiseUntil',
  openRound: 'particlize.openRound',
  compareRound: 'particlize.compareRound',
  refreshRounds: 'particlize.refreshRounds',
  fineTune: 'particlize.fineTune',
  runTrainCommand: 'particlize.runTrainCommand',
  pauseTraining: 'particlize.pauseTraining',
  resumeTraining: 'particlize.resumeTraining',
  showLog: 'particlize.showLog',
} as const;

export type CommandName = keyof typeof commands;

/** `when` contexts that the extension sets. */
export const contexts = {
  modelOpen: 'particlize:modelOpen',
  running: 'particlize:running',
  hasSuggestions: 'particlize:hasSuggestions',
  filtered: 'particlize:filtered',
  training: 'particlize:training',
  paused: 'particlize:paused',
  /** Paths of .json files in the workspace that are TensorFlow.js models; a menu cannot look inside files. */
  modelFiles: 'particlize:modelFiles',
} as const;

export const views = { particles: 'particlize.particles', rounds: 'particlize.rounds' } as const;
export const viewContainer = 'particlize';
export const panelType = 'particlize.panel';
export const notebookMime = 'application/vnd.particlize.v1+json';

/** Endings of model files that need no look inside; core/formats/registry.ts has the formats themselves. */
export const modelExtensions = ['.onnx', '.keras', '.h5', '.hdf5', '.pb', '.tflite', '.lite', '.pt2', '.pt', '.pth', '.th', '.ptl', '.ckpt', '.safetensors', '.gguf'] as const;

/** Settings with their defaults: `setting(name)` in settings.ts is typed by this. */
export const settings = {
  'compute.engine': 'auto' as 'auto' | 'ort-native' | 'ort-web' | 'tfjs-wasm' | 'tfjs-node',
  'compute.threads': 0 as number,
  'compute.memoryMegabytes': 1024 as number,
  'behaviour.samples': 500 as number,
  'suggestions.maxDrop': 0.01 as number,
  'train.command': '' as string,
  'lens.enabled': true as boolean,
  'lens.particles': true as boolean,
  'lens.dead': true as boolean,
  'lens.redundant': true as boolean,
  'lens.harmless': true as boolean,
  'lens.macs': true as boolean,
  'hover.enabled': true as boolean,
  'hints.enabled': true as boolean,
  'hints.share': 0.3 as number,
  'startup.open': '' as string,
};

const modelOpen = contexts.modelOpen;
/** Languages in which models are defined, as sourceLinks.ts reads them. */
const inCode = 'editorLangId =~ /^(python|typescript|typescriptreact|javascript|javascriptreact)$/';
const idle = `${contexts.modelOpen} && !${contexts.running}`;
const mayRun = `${idle} && isWorkspaceTrusted`;
const isModelFile =
  `(resourceExtname =~ /^(${modelExtensions.map((extension) => `\\${extension}`).join('|')})$/ || resourcePath in ${contexts.modelFiles})`;

interface CommandContribution {
  readonly icon?: string;
  readonly enablement?: string;
  /** When the palette offers it; never, when false. */
  readonly palette?: string | false;
}

const commandDetails: Readonly<Record<CommandName, CommandContribution>> = {
  open: { icon: '$(folder-opened)' },
  openFile: { icon: '$(type-hierarchy-sub)', palette: false },
  close: { icon: '$(close)', enablement: modelOpen },
  runBehaviour: { icon: '$(play)', enablement: mayRun },
  cancel: { icon: '$(debug-stop)', enablement: contexts.running },
  suggest: { icon: '$(lightbulb)', enablement: mayRun },
  applySuggestion: { icon: '$(check)', enablement: `${mayRun} && ${contexts.hasSuggestions}` },
  evaluate: { icon: '$(beaker)', enablement: mayRun },
  chooseRecipe: { icon: '$(database)', enablement: modelOpen },
  showPanel: { icon: '$(open-preview)', enablement: modelOpen },
  showActions: { palette: false },
  revealParticle: { icon: '$(target)', enablement: modelOpen },
  goToDefinition: { icon: '$(go-to-file)', enablement: modelOpen },
  revealFromCode: { icon: '$(target)', palette: `${modelOpen} && ${inCode}` },
  linkLayer: { icon: '$(link)', palette: `${modelOpen} && ${inCode}` },
  findModel: { icon: '$(search)', palette: inCode },
  searchParticles: { icon: '$(search)', enablement: modelOpen },
  clearSearch: { icon: '$(search-stop)', enablement: `${modelOpen} && ${contexts.filtered}` },
  sortParticles: { icon: '$(sort-precedence)', enablement: modelOpen },
  copyId: { icon: '$(copy)', enablement: modelOpen, palette: false },
  optimiseUntil: { icon: '$(rocket)', enablement: mayRun },
  openRound: { icon: '$(history)', enablement: modelOpen, palette: false },
  compareRound: { icon: '$(diff)', enablement: mayRun, palette: false },
  refreshRounds: { icon: '$(refresh)', enablement: modelOpen },
  fineTune: { icon: '$(graph-line)', enablement: mayRun },
  runTrainCommand: { icon: '$(terminal)', enablement: mayRun },
  pauseTraining: { icon: '$(debug-pause)', enablement: `${contexts.training} && !${contexts.paused}` },
  resumeTraining: { icon: '$(debug-continue)', enablement: `${contexts.training} && ${contexts.paused}` },
  showLog: { icon: '$(output)' },
};

const inRounds = `view == ${views.rounds}`;
const inTree = `view == ${views.particles}`;
const inPanel = `activeWebviewPanelId == '${panelType}'`;

/** The part of package.json's `contributes` that this file decides. */
export const contributes = {
  commands: (Object.keys(commands) as CommandName[]).map((name) => {
    const { icon, enablement } = commandDetails[name];
    return {
      command: commands[name],
      title: `%command.${name}%`,
      category: 'Particlize',
      ...(icon === undefined ? {} : { icon }),
      ...(enablement === undefined ? {} : { enablement }),
    };
  }),
  menus: {
    commandPalette: (Object.keys(commands) as CommandName[]).flatMap((name) => {
      const { palette, enablement } = commandDetails[name];
      const when = palette === false ? 'false' : (palette ?? enablement);
      return when === undefined ? [] : [{ command: commands[name], when }];
    }),
    'explorer/context': [
      { command: commands.openFile, when: `!explorerResourceIsFolder && ${isModelFile}`, group: 'navigation@90' },
    ],
    'editor/title': [
      { command: commands.openFile, when: `${isModelFile} && !(${inPanel})`, group: 'navigation' },
      { command: commands.runBehaviour, when: inPanel, group: 'navigation@1' },
      { command: commands.suggest, when: inPanel, group: 'navigation@2' },
      { command: commands.chooseRecipe, when: inPanel, group: '1_model@1' },
      { command: commands.evaluate, when: inPanel, group: '1_model@2' },
    ],
    'editor/context': [
      { command: commands.revealFromCode, when: `${inCode} && ${modelOpen}`, group: 'particlize@1' },
      { command: commands.linkLayer, when: `${inCode} && ${modelOpen}`, group: 'particlize@2' },
    ],
    'view/title': [
      { command: commands.searchParticles, when: `${inTree} && ${modelOpen}`, group: 'navigation@1' },
      { command: commands.clearSearch, when: `${inTree} && ${contexts.filtered}`, group: 'navigation@2' },
      { command: commands.sortParticles, when: `${inTree} && ${modelOpen}`, group: 'navigation@3' },
      { command: commands.showPanel, when: `${inTree} && ${modelOpen}`, group: 'navigation@4' },
      { command: commands.open, when: inTree, group: '1_model@1' },
      { command: commands.runBehaviour, when: `${inTree} && ${modelOpen}`, group: '2_run@1' },
      { command: commands.suggest, when: `${inTree} && ${modelOpen}`, group: '2_run@2' },
      { command: commands.applySuggestion, when: `${inTree} && ${contexts.hasSuggestions}`, group: '2_run@3' },
      { command: commands.evaluate, when: `${inTree} && ${modelOpen}`, group: '2_run@4' },
      { command: commands.optimiseUntil, when: `${inTree} && ${modelOpen}`, group: '2_run@5' },
      { command: commands.fineTune, when: `${inTree} && ${modelOpen}`, group: '2_run@6' },
      { command: commands.runTrainCommand, when: `${inTree} && ${modelOpen}`, group: '2_run@7' },
      { command: commands.optimiseUntil, when: `${inRounds} && ${modelOpen}`, group: 'navigation@1' },
      { command: commands.pauseTraining, when: `${inRounds} && ${contexts.training} && !${contexts.paused}`, group: 'navigation@2' },
      { command: commands.resumeTraining, when: `${inRounds} && ${contexts.training} && ${contexts.paused}`, group: 'navigation@2' },
      { command: commands.cancel, when: `${inRounds} && ${contexts.running}`, group: 'navigation@3' },
      { command: commands.refreshRounds, when: `${inRounds} && ${modelOpen}`, group: 'navigation@4' },
      { command: commands.fineTune, when: `${inRounds} && ${modelOpen}`, group: '1_train@1' },
      { command: commands.runTrainCommand, when: `${inRounds} && ${modelOpen}`, group: '1_train@2' },
      { command: commands.chooseRecipe, when: `${inTree} && ${modelOpen}`, group: '3_data@1' },
      { command: commands.showLog, when: inTree, group: '4_log@1' },
    ],
    'view/item/context': [
      { command: commands.runBehaviour, when: `${inTree} && viewItem == model`, group: 'inline@1' },
      { command: commands.suggest, when: `${inTree} && viewItem == model`, group: 'inline@2' },
      { command: commands.showPanel, when: `${inTree} && viewItem == model`, group: '1_show@1' },
      { command: commands.evaluate, when: `${inTree} && viewItem == model`, group: '2_run@1' },
      { command: commands.chooseRecipe, when: `${inTree} && viewItem == model`, group: '2_run@2' },
      { command: commands.close, when: `${inTree} && viewItem == model`, group: '9_close@1' },
      { command: commands.openRound, when: `${inRounds} && viewItem =~ /^round/`, group: 'inline@2' },
      { command: commands.compareRound, when: `${inRounds} && viewItem == round`, group: 'inline@1' },
      { command: commands.openRound, when: `${inRounds} && viewItem =~ /^round/`, group: '1_round@1' },
      { command: commands.compareRound, when: `${inRounds} && viewItem == round`, group: '1_round@2' },
      { command: commands.goToDefinition, when: `${inTree} && viewItem =~ /^layer/`, group: 'inline@1' },
      { command: commands.revealParticle, when: `${inTree} && viewItem =~ /^(layer|particle)/`, group: '1_show@1' },
      { command: commands.copyId, when: `${inTree} && viewItem =~ /^(layer|particle)/`, group: '2_copy@1' },
    ],
  },
  viewsContainers: {
    activitybar: [{ id: viewContainer, title: 'Particlize', icon: 'media/icons/particlize.svg' }],
  },
  views: {
    [viewContainer]: [{ id: views.particles, name: '%view.particles%', icon: 'media/icons/particlize.svg' }, { id: views.rounds, name: '%view.rounds%', icon: 'media/icons/particlize.svg', when: modelOpen }],
  },
  viewsWelcome: [{ view: views.particles, contents: '%view.welcome%', when: `!${modelOpen}` }, { view: views.rounds, contents: '%view.rounds.welcome%', when: modelOpen }],
  configuration: {
    title: 'Particlize',
    properties: {
      'particlize.compute.engine': {
        type: 'string',
        default: settings['compute.engine'],
        enum: ['auto', 'ort-native', 'ort-web', 'tfjs-wasm', 'tfjs-node'],
        enumDescriptions: [
          '%setting.engine.auto%', '%setting.engine.ortNative%', '%setting.engine.ortWeb%',
          '%setting.engine.tfjsWasm%', '%setting.engine.tfjsNode%',
        ],
        markdownDescription: '%setting.engine%',
        scope: 'machine-overridable',
      },
      'particlize.compute.threads': {
        type: 'integer', minimum: 0, maximum: 256, default: settings['compute.threads'],
        markdownDescription: '%setting.threads%', scope: 'machine-overridable',
      },
      'particlize.compute.memoryMegabytes': {
        type: 'integer', minimum: 64, default: settings['compute.memoryMegabytes'],
        markdownDescription: '%setting.memory%', scope: 'machine-overridable',
      },
      'particlize.behaviour.samples': {
        type: 'integer', minimum: 0, default: settings['behaviour.samples'],
        markdownDescription: '%setting.samples%', scope: 'resource',
      },
      'particlize.suggestions.maxDrop': {
        type: 'number', minimum: 0, maximum: 1, default: settings['suggestions.maxDrop'],
        markdownDescription: '%setting.maxDrop%', scope: 'resource',
      },
      'particlize.train.command': {
        type: 'string', default: settings['train.command'], markdownDescription: '%setting.trainCommand%', scope: 'resource',
      },
      'particlize.lens.enabled': {
        type: 'boolean', default: settings['lens.enabled'], markdownDescription: '%setting.lens%', scope: 'resource',
      },
      ...Object.fromEntries((['particles', 'dead', 'redundant', 'harmless', 'macs'] as const).map((part) => [`particlize.lens.${part}`, {
        type: 'boolean', default: settings[`lens.${part}`], markdownDescription: `%setting.lens.${part}%`, scope: 'resource',
      }])),
      'particlize.hover.enabled': {
        type: 'boolean', default: settings['hover.enabled'], markdownDescription: '%setting.hover%', scope: 'resource',
      },
      'particlize.hints.enabled': {
        type: 'boolean', default: settings['hints.enabled'], markdownDescription: '%setting.hints%', scope: 'resource',
      },
      'particlize.hints.share': {
        type: 'number', minimum: 0.01, maximum: 1, default: settings['hints.share'], markdownDescription: '%setting.hints.share%', scope: 'resource',
      },
      'particlize.startup.open': {
        type: 'string', default: settings['startup.open'], markdownDescription: '%setting.startup%', scope: 'window',
      },
    },
  },
  jsonValidation: [{ fileMatch: '*.particlize.json', url: './media/recipe.schema.json' }],
  notebookRenderer: [
    {
      id: 'particlize.notebook',
      displayName: '%notebook.renderer%',
      entrypoint: './dist/webview/renderer.js',
      mimeTypes: [notebookMime],
    },
  ],
  walkthroughs: [
    {
      id: 'start',
      title: '%walkthrough.title%',
      description: '%walkthrough.description%',
      steps: [
        step('open', [`onCommand:${commands.open}`, `onContext:${modelOpen}`]),
        step('run', [`onCommand:${commands.runBehaviour}`]),
        step('shrink', [`onCommand:${commands.suggest}`]),
      ],
    },
  ],
};

function step(id: string, completionEvents: readonly string[]): object {
  return {
    id,
    title: `%walkthrough.${id}.title%`,
    description: `%walkthrough.${id}.description%`,
    media: { markdown: `media/walkthrough/${id}.md` },
    completionEvents,
  };
}

/** Other parts of package.json that belong to the extension's face. */
export const activationEvents = ['onStartupFinished', `onWebviewPanel:${panelType}`];

export const capabilities = {
  untrustedWorkspaces: { supported: 'limited', description: '%capability.untrusted%', restrictedConfigurations: ['particlize.train.command'] },
  virtualWorkspaces: { supported: false, description: '%capability.virtual%' },
};

/** Folder of the bundles with the translated texts of the code; those of package.json are in package.nls.*.json. */
export const l10n = './media/l10n';
