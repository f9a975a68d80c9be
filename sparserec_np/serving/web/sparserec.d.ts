/** An outside id of a user or an item; integers beyond 2 ** 53 are `bigint`. */
export type Id = number | string | bigint;

/** A list, best first; it is not `personal` where nothing is known of somebody, and then popular, with scores of 0. */
export interface List {
  items: Id[];
  scores: number[];
  personal: boolean;
}

/** What speaks for an item, most first; `score` is the sum over everything that was touched. */
export interface Explanation {
  items: Id[];
  scores: number[];
  score: number;
  /** Whether `score` is the one that lists hold; of a model that stores users it is that of their items, folded in. */
  exact: boolean;
}

export interface Options {
  /** How many items at most; 10 by default. */
  n?: number;
  /** Rank these items alone. */
  items?: Id[];
  /** Leave these items out. */
  exclude?: Id[];
  /** Leave out what the person has touched; true by default. */
  filterSeen?: boolean;
  /** What is done about an id that is not known: throw, list popular items, or leave it out. */
  onUnknown?: "raise" | "popular" | "skip";
}

/** A file that is no model, is damaged or of a later version. */
export class ModelError extends Error {}
/** An id that the model has no row for. */
export class UnknownIdError extends Error {}
/** A question about what users have seen, of a file that was exported without. */
export class SeenItemsMissingError extends Error {}

/** A model ready to recommend. */
export class Recommender {
  /** Opens the model file at an address, or its content. Rejects with ModelError for one that is not sound. */
  static open(source: string | URL | ArrayBuffer | ArrayBufferView): Promise<Recommender>;

  /** The file's text. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Ids of the items, row after row. */
  readonly itemIds: ArrayLike<Id>;
  /** Ids of the users, row after row; none in a file that was exported without. */
  readonly userIds: ArrayLike<Id>;
  /** Rows of all items, those first that most users touched, as far as the file says. */
  readonly popularItems: number[];

  /** Lists the best items for a user that the model knows. */
  recommend(user: Id, options?: Options): List;
  /** Lists the best items for somebody who touched others, in the order of time, the latest last. */
  recommendForItems(liked: Iterable<Id>, options?: Options): List;
  /** Lists the other items whose rows are nearest to one by cosine. */
  similarItems(item: Id, options?: Pick<Options, "n"> & { onUnknown?: "raise" | "skip" }): List;
  /** Scores items for a user, seen or not, as lists score them. */
  score(user: Id, items: Id[]): number[];
  /** Says which of the items that a user touched speak for an item: the `n` that say most, or with null all. */
  explain(user: Id, item: Id, options?: { n?: number | null }): Explanation;
  /** Says the same of somebody who touched items, the latest last. */
  explainForItems(liked: Iterable<Id>, item: Id, options?: { n?: number | null }): Explanation;
}
