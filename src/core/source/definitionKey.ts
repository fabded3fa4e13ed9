import type { DefinitionKey, LayerDefinition } from './definition';

/** What finds a definition again after the file was edited around it. */
export function keyOfDefinition(definitions: readonly LayerDefinition[], definition: LayerDefinition): DefinitionKey {
  const { type, name, owner } = definition;
  return {
    type, ...(name === undefined ? {} : { name }), ...(owner === undefined ? {} : { owner }),
    index: Math.max(0, alike(definitions, definition).indexOf(definition)),
  };
}

/** The definition that a key was made of; undefined when the file has none like it any more. */
export function findByKey(definitions: readonly LayerDefinition[], key: DefinitionKey): LayerDefinition | undefined {
  return alike(definitions, key)[key.index];
}

function alike(definitions: readonly LayerDefinition[], key: Pick<DefinitionKey, 'type' | 'name' | 'owner'>): LayerDefinition[] {
  return definitions.filter(({ type, name, owner }) => type === key.type && name === key.name && owner === key.owner);
}
