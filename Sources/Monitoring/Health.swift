// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Whether the daemon lives and whether it can take jobs, for probes and watchdogs.
///
/// It is *live* unless a step of the engine takes longer than any step may: then only a restart helps. It is *ready*
/// while it has signed on, is not stopping, and the database has answered lately.
public final class Health: Sendable {
    /// Where the daemon is in its life.
    public enum Phase: Sendable, Equatable {
        case starting
        case working
        case stopping
    }

    /// What a probe is told.
    public struct Report: Sendable, Equatable {
        /// Why not, in words; empty when all is well.
        public var problems: [String]
        /// Whether all is well.
        public var isGood: Bool { problems.isEmpty }
    }

    private struct State {
        var phase = Phase.starting
        var databaseAnsweredAt: ContinuousClock.Instant?
        var stepBegan: (@Sendable () -> ContinuousClock.Instant?)?
    }

    private let state = Mutex(State())
    private let silenceLimit: Duration
    private let stepLimit: Duration

    /// Health of a daemon that starts.
    ///
    /// - Parameters:
    ///   - silenceLimit: How long the database may have been silent.
    ///   - stepLimit: How long a step of the engine may take.
    public init(silenceLimit: Duration = .seconds(60), stepLimit: Duration = .seconds(600)) {
        self.silenceLimit = silenceLimit
        self.stepLimit = stepLimit
    }

    /// Says where the daemon is now.
    public func enter(_ phase: Phase) { state.withLock { $0.phase = phase } }

    /// Notes that the database has answered just now.
    public func databaseAnswered() { state.withLock { $0.databaseAnsweredAt = .now } }

    /// Says how to find out when the engine's current step began; it gives nil when the engine is idle.
    public func watchSteps(_ stepBegan: @escaping @Sendable () -> ContinuousClock.Instant?) {
        state.withLock { $0.stepBegan = stepBegan }
    }

    /// For liveness probes: restart the process when this is not good.
    public func liveness(at now: ContinuousClock.Instant = .now) -> Report {
        guard let began = state.withLock({ $0.stepBegan })?(), now - began > stepLimit else {
            return Report(problems: [])
        }
        return Report(problems: ["a step of the engine has taken \((now - began).components.seconds) s and goes on"])
    }

    /// For readiness probes: it takes jobs.
    public func readiness(at now: ContinuousClock.Instant = .now) -> Report {
        let (phase, answered) = state.withLock { ($0.phase, $0.databaseAnsweredAt) }
        var problems = liveness(at: now).problems
        switch phase {
        case .starting: problems.append("it is starting")
        case .stopping: problems.append("it is stopping")
        case .working: break
        }
        if phase == .working, answered.map({ now - $0 > silenceLimit }) ?? true {
            let silence = answered.map { "for \((now - $0).components.seconds) s" } ?? "yet"
            problems.append("the database has not answered \(silence)")
        }
        return Report(problems: problems)
    }
}
