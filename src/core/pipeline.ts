/**
 * The spine of Particlize, to be read first: the stages in order, input type -> output type.
 *
 *   file --openModel--> ModelGraph --decompose--> ParticleTable (rows)
 *   (graph, table) --attributes--> table with columns from weights alone
 *   recipe + files --loadDataset--> Dataset
 *   (graph, table, engine, data) --behaviour--> table with columns from running the model
 *   (table, graph, data) --suggest--> suggestions --choose--> Plan
 *   (graph, Plan) --surgery--> ModelGraph --save--> files;   (graph, graph') --shapeChanges--> edits of the source
 *   (graph, engine, data) --evaluate--> Evaluation
 *
 * Each stage lives in the folder of its name; faces (command line, tree, panel, lens, notebook) call the stages through
 * `compute/session.ts` and hold no logic of their own.
 */
export { openModel } from './formats/registry';
