// Written by tools/shapes.py.

export interface Active {
  name: string;
  active: string;
  previous: string | null;
}

export interface Additions {
  presets: (Preset)[];
  adapters: (string)[];
}

export interface Answer {
  medium: string;
  mime: string;
  url: string;
  text: string | null;
  thumbnail: string | null;
  sound: string | null;
}

export interface Arena {
  pairs: (Pair)[];
  making: PairProgress | null;
  answered: number;
  total: number;
  can_undo: boolean;
  missing: number;
  suggested_prompts: (string)[];
}

export interface BinItem {
  id: string;
  kind: string;
  name: string;
  bytes: number;
  removed: string;
}

export interface CaptionChange {
  caption: string;
}

export interface Certificate {
  pem: string;
}

export interface Chosen {
  event: string | null;
  reveal: Reveal | null;
  answered: number;
  total: number;
  missing: number;
}

export interface CollectForecast {
  medium: string;
  media: (MediumCount)[];
  files: number;
  bytes: number;
  left: (Reason)[];
  examples: (string)[];
}

export interface Consent {
  who: string;
  of: (string)[];
  purposes: (string)[];
  until: string | null;
  signature: string;
  note: string;
  state: string;
}

export interface Context {
  knowledge: KnowledgeContext | null;
  attachments: (Excerpt)[];
}

export interface Conversation {
  id: string;
  title: string;
  model: string | null;
  system: string;
  created: string;
  changed: string;
  turns: number;
  folder: string;
  tags: (string)[];
  is_starred: boolean;
  removed: string | null;
  knowledge: string;
  excerpt: string;
}

export interface ConversationChange {
  title?: string | null;
  model?: string | null;
  system?: string | null;
  folder?: string | null;
  tags?: (string)[] | null;
  is_starred?: boolean | null;
  leaf?: string | null;
  knowledge?: string | null;
  params?: Record<string, any> | null;
}

export interface ConversationDetail {
  id: string;
  title: string;
  model: string | null;
  system: string;
  created: string;
  changed: string;
  turns: number;
  folder: string;
  tags: (string)[];
  is_starred: boolean;
  removed: string | null;
  knowledge: string;
  excerpt: string;
  tree: (Turn)[];
  leaf: string | null;
  params: Record<string, any>;
}

export interface ConversationNames {
  folders: Record<string, number>;
  tags: Record<string, number>;
}

export interface CreatedKey {
  id: string;
  name: string;
  user: string;
  scopes: (string)[];
  created: string;
  last_used: string | null;
  expires: string | null;
  prefix: string;
  secret: string;
}

export interface Dataset {
  name: string;
  digest: string;
  medium: string;
  created: string;
  documents: number;
  bytes: number;
  licences: Record<string, number>;
  used_by: (string)[];
}

export interface DatasetDetail {
  name: string;
  digest: string;
  medium: string;
  created: string;
  documents: number;
  bytes: number;
  licences: Record<string, number>;
  used_by: (string)[];
  read: number | null;
  kept: number | null;
  removed: (Reason)[];
  notes: (FileNote)[];
  splits: Record<string, SplitCount>;
  versions: (DatasetVersion)[];
  report: Record<string, any>;
  card_text: string;
  can_edit_captions: boolean;
  edited_captions: number;
  persons: (string)[];
  consents: (Consent)[];
}

export interface DatasetVersion {
  digest: string;
  created: string;
  documents: number;
}

export interface Decision {
  id: string;
  at: string;
  rule: string;
  action: string;
  target: string;
  model: string;
  sha256: string;
  text: string | null;
}

export interface DesignExample {
  name: string;
  title: string;
}

export interface DesignGoals {
  document: string;
  title: string;
  size: (number)[];
  elements: (number)[];
  state: string;
  understood: (Meaning)[];
  limits: (LimitOfGoals)[];
  picture: string;
}

export interface Disk {
  free: number;
  total: number;
}

export interface Edge {
  source: string;
  target: string;
  how: string;
}

export interface Evaluation {
  data: string;
  at: string;
  lines: (string)[];
  report: Record<string, any>;
  charts: (string)[];
}

export interface Event {
  id: number;
  type: string;
  at: string;
  data: Record<string, any>;
}

export interface Excerpt {
  name: string;
  tokens: number;
  of: number;
}

export interface Export {
  id: string;
  model: string;
  file: string;
  bytes: number;
  created: string;
  url: string;
}

export interface Facets {
  models: Record<string, number>;
  versions: Record<string, number>;
  media: Record<string, number>;
  tags: Record<string, number>;
}

export interface Family {
  nodes: (Node)[];
  edges: (Edge)[];
}

export interface FileNote {
  source: string;
  reason: string;
}

export interface Forecast {
  minutes: number;
  parameters: number;
  trained: number | null;
  steps: number;
  units: number;
  unit: string;
  epochs: number | null;
  seconds: number;
  setup_seconds: number;
  memory_bytes: number;
  memory_available: number;
  fits: boolean;
  why_not: string;
  metric: string;
  expected: number | null;
  low: number | null;
  high: number | null;
  baseline: number | null;
  before: number | null;
  level: string;
}

export interface ForecastRequest {
  kind: "train" | "collect";
  params?: Record<string, any>;
}

export interface Freed {
  bytes: number;
}

export interface GoalsQuestion {
  document?: string;
  words?: string;
  example?: string;
}

export interface Health {
  name: string;
  ok: boolean;
  code: string;
  values: Record<string, string>;
  detail: string;
  cure: string;
}

export interface Hit {
  kind: "output" | "conversation" | "model" | "dataset" | "job";
  id: string;
  title: string;
  excerpt: string;
  at: string;
  medium: string | null;
  thumbnail: string | null;
}

export interface Imported {
  conversations: (string)[];
  skipped: (Reason)[];
}

export interface Job {
  id: string;
  kind: "generate" | "chat" | "arena" | "knowledge" | "collect" | "train" | "learn" | "evaluate" | "compare" | "forget" | "import" | "export" | "verify" | "copies" | "bias" | "privacy" | "test_prompt" | "design";
  title: string;
  state: "queued" | "running" | "succeeded" | "failed" | "cancelled";
  owner: string;
  params: Record<string, any>;
  position: number | null;
  created: string;
  started: string | null;
  finished: string | null;
  attempts: number;
  progress: Progress;
  result: Record<string, any> | null;
  error: Problem | null;
  can_cancel: boolean;
  can_retry: boolean;
  can_resume: boolean;
}

export interface JobLog {
  points: (LogPoint)[];
  samples: (LogSample)[];
  notes: (string)[];
  estimate: Record<string, any> | null;
  next: number;
}

export interface Key {
  id: string;
  name: string;
  user: string;
  scopes: (string)[];
  created: string;
  last_used: string | null;
  expires: string | null;
  prefix: string;
}

export interface Knowledge {
  name: string;
  files: number;
  passages: number;
  bytes: number;
  changed: string;
  can_grow: boolean;
}

export interface KnowledgeContext {
  name: string;
  is_supported: boolean;
  quotes: (Quote)[];
  sources: (Source)[];
  sentences: (Sentence)[] | null;
  warnings: (string)[];
}

export interface LimitOfGoals {
  name: string;
  value: string;
}

export interface LogPoint {
  step: number;
  seconds: number | null;
  losses: Record<string, number>;
  measured: Record<string, number>;
}

export interface LogSample {
  step: number | null;
  text: string | null;
  output: string | null;
}

export interface Login {
  token?: string;
  name?: string;
  password?: string;
  code?: string;
  state?: string;
}

export interface Mark {
  is_marked: boolean;
  key: string | null;
}

export interface Meaning {
  words: string;
  meaning: string;
}

export interface MediumCount {
  medium: string;
  files: number;
  bytes: number;
}

export interface Memory {
  total: number;
  available: number;
  processes: (ProcessMemory)[];
}

export interface Model {
  ref: string;
  name: string;
  version: number;
  medium: string;
  kind: "built_in" | "imported" | "trained" | "tuned" | "taught";
  parent: string | null;
  children: (string)[];
  data: ModelData | null;
  is_active: boolean;
  is_adapter: boolean;
  created: string;
  bytes: number;
  digest: string;
  parameters: number | null;
  metric: string | null;
  value: number | null;
  licences: (string)[];
  receipt: string | null;
  outputs: number;
  has_prompt: boolean;
  can: (string)[];
}

export interface ModelData {
  name: string;
  digest: string;
}

export interface ModelDetail {
  ref: string;
  name: string;
  version: number;
  medium: string;
  kind: "built_in" | "imported" | "trained" | "tuned" | "taught";
  parent: string | null;
  children: (string)[];
  data: ModelData | null;
  is_active: boolean;
  is_adapter: boolean;
  created: string;
  bytes: number;
  digest: string;
  parameters: number | null;
  metric: string | null;
  value: number | null;
  licences: (string)[];
  receipt: string | null;
  outputs: number;
  has_prompt: boolean;
  can: (string)[];
  card: Record<string, any>;
  card_text: string;
  nodes: (Node)[];
  edges: (Edge)[];
  evaluations: (Evaluation)[];
  bias: Record<string, any> | null;
  privacy: Record<string, any> | null;
  export_formats: (string)[];
  prompts: (string)[];
}

export interface Move {
  before?: string | null;
}

export interface NewChoice {
  pair: string;
  winner: "a" | "b" | "tie" | "bad" | "skip";
}

export interface NewConversation {
  model?: string;
  system?: string;
  title?: string;
  folder?: string;
  knowledge?: string;
  params?: Record<string, any>;
}

export interface NewJob {
  kind: "generate" | "chat" | "arena" | "knowledge" | "collect" | "train" | "learn" | "evaluate" | "compare" | "forget" | "import" | "export" | "verify" | "copies" | "bias" | "privacy" | "test_prompt" | "design";
  params?: Record<string, any>;
}

export interface NewKey {
  name: string;
  scopes: (string)[];
  user?: string;
  days?: number;
}

export interface NewPreference {
  over: string;
}

export interface NewRating {
  up?: boolean | null;
  stars?: number | null;
  note?: string;
}

export interface NewRules {
  text: string;
}

export interface NewTrustKey {
  kind: "marking" | "signing";
  name?: string;
}

export interface NewTurn {
  parent?: string | null;
  content?: string | null;
  model?: string;
  params?: Record<string, any>;
  attachments?: (string)[];
}

export interface Node {
  id: string;
  kind: "dataset" | "model" | "outputs";
  label: string;
  detail: string;
  is_here: boolean;
}

export interface Option {
  name: string;
  type: string;
  default: any;
  minimum: number | null;
  maximum: number | null;
  choices: (string)[];
  requirement: string;
  help: string;
  group: "sampling" | "condition" | "edit";
  is_basic: boolean;
}

export interface Output {
  id: string;
  created: string;
  medium: string;
  model: string | null;
  prompt: string;
  given: Record<string, string>;
  seed: number | null;
  text: string | null;
  is_cut: boolean;
  mime: string;
  bytes: number;
  url: string;
  shown_mime: string;
  shown: string;
  thumbnail: string | null;
  sound: string | null;
  rating: Rating | null;
  tags: (string)[];
  is_starred: boolean;
  folder: string;
  owner: string;
  removed: string | null;
  seconds: number | null;
  job: string | null;
  conversation: string | null;
}

export interface OutputChange {
  tags?: (string)[] | null;
  is_starred?: boolean | null;
  folder?: string | null;
}

export interface OutputDetail {
  id: string;
  created: string;
  medium: string;
  model: string | null;
  prompt: string;
  given: Record<string, string>;
  seed: number | null;
  text: string | null;
  is_cut: boolean;
  mime: string;
  bytes: number;
  url: string;
  shown_mime: string;
  shown: string;
  thumbnail: string | null;
  sound: string | null;
  rating: Rating | null;
  tags: (string)[];
  is_starred: boolean;
  folder: string;
  owner: string;
  removed: string | null;
  seconds: number | null;
  job: string | null;
  conversation: string | null;
  settings: (Setting)[];
  again: Record<string, any>;
  formats: (string)[];
  model_digest: string | null;
  sha256: string;
  messages: (Record<string, string>)[];
  facts: Record<string, number>;
  next: string | null;
  previous: string | null;
}

export interface OutputIds {
  ids: (string)[];
}

export interface Page<T> {
  object: "list";
  data: (T)[];
  has_more: boolean;
  total: number | null;
  next: string | null;
}

export interface Pair {
  id: string;
  prompt: string;
  given: Record<string, string>;
  position: number;
  count: number;
  a: Answer;
  b: Answer;
}

export interface PairProgress {
  job: string;
  done: number;
  total: number;
}

export interface Preference {
  event: string;
  at: string;
}

export interface Preset {
  name: string;
  help: string;
}

export interface Problem {
  message: string;
  code: string | null;
  param: string | null;
}

export interface ProcessMemory {
  name: string;
  bytes: number;
}

export interface Progress {
  share: number | null;
  stage: string;
  step: number | null;
  steps: number | null;
  seconds_left: number | null;
  note: string;
  text: string | null;
  preview: string | null;
}

export interface Promotion {
  reason?: string;
  allow_withdrawn?: boolean;
}

export interface Prompt {
  name: string;
  ref: string;
  version: number;
  versions: number;
  description: string;
  owner: string;
  examples: number;
  tests: number;
  lengths: Record<string, number>;
  takes_length: boolean;
  variables: (PromptVariable)[];
}

export interface PromptChange {
  prompt?: string | null;
  system?: string | null;
  description?: string | null;
  note?: string;
}

export interface PromptDetail {
  name: string;
  ref: string;
  version: number;
  versions: number;
  description: string;
  owner: string;
  examples: number;
  tests: number;
  lengths: Record<string, number>;
  takes_length: boolean;
  variables: (PromptVariable)[];
  system: string;
  prompt: string;
  history: (PromptVersion)[];
}

export interface PromptVariable {
  name: string;
  description: string;
  is_required: boolean;
  is_list: boolean;
  default: string;
  choices: (string)[];
  is_closed: boolean;
}

export interface PromptVersion {
  version: number;
  created: string | null;
  owner: string;
  note: string;
  up: number;
  down: number;
}

export interface Provenance {
  root: string;
  nodes: (TraceNode)[];
  edges: (TraceEdge)[];
  left_out: number;
  is_intact: boolean;
  signature: Signature;
  mark: Mark;
}

export interface Queue {
  paused: boolean;
  running: number;
  queued: number;
}

export interface QueueChange {
  paused: boolean;
}

export interface Quote {
  text: string;
  source: number;
}

export interface RaterCount {
  name: string;
  count: number;
  is_machine: boolean;
}

export interface Rating {
  up: boolean | null;
  stars: number | null;
  note: string;
  event: string;
  at: string;
}

export interface RatingCounts {
  total: number;
  pairs: number;
  unpaired: number;
  train: number;
  held_out: number;
  min_train: number;
  min_held_out: number;
  can_try: boolean;
  missing: number;
  since_last_round: number;
  contradictions: number;
  by_rater: (RaterCount)[];
  unused: (Reason)[];
}

export interface Reason {
  reason: string;
  count: number;
}

export interface Receipt {
  id: string;
  run: string;
  headline: string;
  outcome_text: string;
  outcome: "promoted" | "kept" | "overruled" | "no_training";
  text: string;
  html: string;
  receipt: Record<string, any>;
  hidden_examples: number;
}

export interface Reveal {
  a: string;
  b: string;
}

export interface Round {
  receipt: string;
  at: string;
  champion: string;
  challenger: string;
  outcome: "promoted" | "kept" | "overruled" | "no_training";
  headline: string;
  win: WinRate | null;
  method: string;
  seconds: number;
}

export interface Rule {
  name: string;
  action: "refuse" | "warn" | "log";
  reason: string;
  on: (string)[];
  is_fixed: boolean;
  is_own: boolean;
}

export interface RuleCheck {
  text: string;
  target?: "prompt" | "output";
}

export interface RuleMatch {
  rule: string;
  action: "refuse" | "warn" | "log";
  reason: string;
  words: (string)[];
}

export interface Rules {
  rules: (Rule)[];
  log_text: boolean;
  text: string;
  example: string;
}

export interface Sample {
  id: string;
  split: string;
  source: string;
  licence: string;
  medium: string;
  caption: string | null;
  is_edited: boolean;
  text: string | null;
  is_cut: boolean;
  url: string | null;
  shown_mime: string | null;
  thumbnail: string | null;
  bytes: number;
}

export interface SentQuestion {
  question: Turn;
  job: Job;
}

export interface Sentence {
  text: string;
  source: number | null;
  quote: string;
  reason: string;
}

export interface Session {
  user: User;
  scopes: (string)[];
  version: string;
  address: string;
  workspace: string;
  is_empty: boolean;
  snippets: (Snippet)[];
}

export interface Setting {
  name: string;
  value: any;
}

export interface Signature {
  state: "signed" | "unsigned" | "unavailable";
  signer: string;
  is_embedded: boolean;
  facts: (string)[];
}

export interface Snippet {
  client: string;
  language: string;
  text: string;
}

export interface Source {
  number: number;
  title: string;
  text: string;
  is_read: boolean;
}

export interface SplitCount {
  documents: number;
  bytes: number;
}

export interface Storage {
  items: (StorageItem)[];
  bin: (BinItem)[];
  exports: (Export)[];
  export_days: number;
  disk: Disk;
}

export interface StorageItem {
  kind: string;
  bytes: number;
  count: number;
}

export interface System {
  version: string;
  address: string;
  workspace: string;
  memory: Memory;
  processors: number;
  load: number;
  accelerator: string | null;
  queue: Queue;
  engine: Record<string, any>;
  disk: Disk;
  uptime_seconds: number;
}

export interface Teach {
  model: string;
  medium: string;
  active: string;
  previous: string | null;
  ratings: RatingCounts;
  is_enough: boolean;
  shortfall: string;
  job: string | null;
  rounds: (Round)[];
}

export interface TraceEdge {
  source: string;
  target: string;
  relation: string;
}

export interface TraceNode {
  id: string;
  kind: string;
  name: string;
  state: string;
  problem: string;
  facts: Record<string, any>;
}

export interface TrustKey {
  id: string;
  kind: "marking" | "signing" | "trusted";
  name: string;
  created: string;
  expires: string;
  is_active: boolean;
}

export interface TrustKeys {
  keys: (TrustKey)[];
  can_sign: boolean;
}

export interface Turn {
  id: string;
  parent: string | null;
  role: "user" | "assistant";
  content: string;
  created: string;
  model: string | null;
  output: string | null;
  rating: Rating | null;
  job: string | null;
  attachments: (string)[];
  context: Context | null;
}

export interface Undone {
  pair: Pair | null;
  answered: number;
  total: number;
  missing: number;
}

export interface Upload {
  id: string;
  created: string;
  files: number;
  bytes: number;
  names: (string)[];
}

export interface User {
  name: string;
  is_local: boolean;
}

export interface Voice {
  name: string;
  model: string;
  note: string;
  is_own: boolean;
}

export interface WinRate {
  rate: number;
  low: number;
  high: number;
  name: string;
}

export interface Withdrawal {
  who: string;
}
