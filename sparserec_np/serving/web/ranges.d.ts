/**
 * Fetches of a model file what folding in takes, by range requests where the server answers them, and makes a smaller
 * model file of it, without users, for `Recommender.open`.
 */
export function fetchItems(address: string | URL): Promise<ArrayBuffer>;
