// SPDX-License-Identifier: Apache-2.0

import Engine
import Inference
import Monitoring

/// Everything that can be set: from flags, `DELTAKV_*` variables, a YAML file or defaults, in that order.
public struct Settings: Sendable {
    /// The model: a path to a GGUF file, or the name of one that `deltakv model fetch` knows.
    public var model: String
    /// How the model's weights are kept and multiplied.
    public var weights: WeightForm
    /// Whether what the model's makers advise for sampling counts where jobs say nothing else.
    public var takesAdvice: Bool
    /// The engine's bounds.
    public var engine: EngineSettings
    /// How keys and values of long contexts are kept.
    public var kvPolicy: KVPolicy
    /// Whether heads of the model that look at little else see the ends of their context only, in generated tokens.
    public var usesLocalHeads: Bool
    /// Threads that compute; 0 means as many as the machine or its cgroup gives.
    public var threads: Int
    /// How this daemon takes jobs.
    public var worker: WorkerSettings
    /// Where persisted caches lie and how much of them is kept.
    public var cache: CacheLocation
    /// What others can see of a daemon, and where.
    public var monitoring: MonitoringSettings
    /// The settings file that was read, if any.
    public var file: String?
}

/// How keys and values of long contexts are kept.
public enum KVPolicy: String, Sendable, CaseIterable {
    /// All of them, in the type that `kv.type` names.
    case full
    /// By the model's compressor, which is made at the first start.
    case deltakv
}

/// How a daemon takes and keeps jobs.
public struct WorkerSettings: Sendable, Equatable {
    /// Jobs held at once.
    public var maxJobs: Int
    /// How many times as many tokens as memory holds at once are taken on: sequences whose prompts are coded take turns.
    public var overcommit: Int
    /// How long a job stays this daemon's without a heartbeat.
    public var lease: Duration
    /// How often the queue is looked at when no notification comes.
    public var poll: Duration
    /// How long jobs may go on after SIGTERM before they are handed back.
    public var grace: Duration
    /// How long finished jobs are kept; nil for ever.
    public var retention: Duration?
}

/// What others can see of a daemon, and where.
public struct MonitoringSettings: Sendable, Equatable {
    /// Where metrics and health are served; nil for nowhere.
    public var metrics: ListenAddress?
    /// Where the dashboard is served; nil for nowhere.
    public var dashboard: ListenAddress?
    /// What administrators sign in to the dashboard with; nil for a dashboard that only shows.
    public var dashboardToken: String?
    /// How log lines look.
    public var logFormat: LogFormat
}

/// How log lines look.
public enum LogFormat: String, Sendable, CaseIterable {
    /// For people.
    case text
    /// One JSON object a line.
    case json
}

/// A setting that cannot be used.
public struct SettingsError: Error, CustomStringConvertible {
    /// What is wrong, where, and what would be right.
    public let description: String
}
