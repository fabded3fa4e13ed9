// @ts-check
import js from '@eslint/js';
import tseslint from 'typescript-eslint';

// What the code's rules can be checked by machine; the import directions have a test of their own.
export default tseslint.config(
  { ignores: ['dist/', 'node_modules/', '.cache/', 'media/', 'test-results/', 'test/fixtures/'] },
  js.configs.recommended,
  {
    files: ['**/*.{mjs,cjs,js}'],
    languageOptions: {
      globals: Object.fromEntries(
        ['process', 'console', 'performance', 'fetch', 'URL', 'Buffer', 'setTimeout', 'clearTimeout', 'require', 'module', '__dirname',
          'Element', 'document', 'NodeJS'].map((name) => [name, 'readonly']),
      ),
    },
  },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommended],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': ['error', { checksVoidReturn: false }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      // TypeScript knows what is defined.
      'no-undef': 'off',
    },
  },
  {
    files: ['**/*.{ts,mjs}'],
    ignores: ['*.config.mjs'],
    rules: {
      eqeqeq: ['error', 'always', { null: 'ignore' }],
      'max-lines': ['error', { max: 450 }],
      'no-restricted-syntax': [
        'error',
        {
          selector: 'ExportDefaultDeclaration',
          message: 'Export it by its name: a default export gets a different name in every file that imports it.',
        },
        {
          selector: 'ExportAllDeclaration',
          message: 'Import from the file that defines it: a barrel hides where things live.',
        },
      ],
    },
  },
);
