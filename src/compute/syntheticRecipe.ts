/** In place of a recipe's path: made-up samples, for models without data. */
export const syntheticRecipe = 'synthetic';
