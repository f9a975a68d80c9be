import type { Recommender, Id } from "./sparserec.js";

/** A server that cannot be reached, refuses, or asks for what a page cannot answer. */
export class TrainingError extends Error {}

/** What was sent to the server in a pass. */
export interface Sent {
  /** What was asked for. */
  kind: "count" | "signs" | "rows" | "solve" | "rank";
  /** Ids of the person's items, where the answer lists them. */
  items: string[];
  /** How many small whole numbers went with them. */
  values: number;
  bytes: number;
  /** Whether the server has counted it, and not found it late. */
  counts: boolean;
}

/** Takes part in a training until it is over, or `signal` is aborted; resolves to how many answers were counted. */
export function takePart(how: {
  /** Of the server, such as https://example.org/learn; without TLS on this machine alone. */
  address: string | URL;
  /** What the server's operator gave to this client. */
  token: string;
  /** Tells the ids of the person's items whenever a question is answered. */
  ids: () => Id[];
  /** 16 bytes or more that the device keeps to itself. */
  secret: BufferSource;
  /** Opens a model file to measure lists by: `Recommender.open`. */
  open: typeof Recommender.open;
  told?: (sent: Sent) => void;
  signal?: AbortSignal;
  /** How often a request is tried, and how many seconds are waited at most. */
  patience?: { tries?: number; longest?: number };
}): Promise<number>;
