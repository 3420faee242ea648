// SPDX-License-Identifier: Apache-2.0

import CacheStore
import Logging

/// What a daemon does for its cache beside its work: keeps the database's picture of it, collects garbage, and reads everything
/// through now and then, slowly, so that damage is found before somebody waits for the chunk.
struct CacheKeeper: Sendable {
    /// How often each is done, and how fast chunks are read.
    struct Pace: Sendable {
        var sync = Duration.seconds(15), garbage = Duration.seconds(3600), scrub = Duration.seconds(86400)
        var bytesPerSecond = 20 << 20
    }

    let store: CacheStore
    let catalogue: CacheCatalogue
    let logger: Logger
    var pace = Pace()

    /// Goes on until the task is cancelled, then writes down what is left.
    func run() async {
        await withDiscardingTaskGroup { group in
            group.addTask {
                await every(pace.sync, "The cache could not be written down; trying again.") {
                    try await catalogue.sync()
                }
            }
            group.addTask {
                await every(pace.garbage, "The cache could not be tidied; trying again.") { try tidy() }
            }
            group.addTask {
                await every(pace.scrub, "The cache could not be read through; trying again.") { try await scrub() }
            }
        }
        // Cancelled itself, this task could not: statements end with the task that waits for them.
        await Task.detached {
            await attempt("The cache's last uses were not written down.") { try await catalogue.sync() }
        }.value
    }

    private func every(_ interval: Duration, _ trouble: Logger.Message, _ work: () async throws -> Void) async {
        repeat { await attempt(trouble, work) } while (try? await Task.sleep(for: interval)) != nil
    }

    private func attempt(_ trouble: Logger.Message, _ work: () async throws -> Void) async {
        do {
            try await work()
        } catch is CancellationError {
        } catch {
            logger.warning(trouble, metadata: ["error": "\(error)"])
        }
    }

    private func tidy() throws {
        let report = try store.collectGarbage()
        guard !report.isEmpty else { return }
        logger.info(
            "Tidied the cache.",
            metadata: [
                "freed": "\(formatByteCount(report.freedBytes))", "expired": "\(report.expired)",
                "unreachable": "\(report.orphans)", "evicted": "\(report.evicted)", "damaged": "\(report.damaged)",
                "broken_off": "\(report.temporaries)",
            ])
    }

    private func scrub() async throws {
        let report = try await store.scrub(bytesPerSecond: pace.bytesPerSecond)
        guard report.damaged + report.unreadable > 0 else { return }
        logger.warning(
            "Chunks of the cache were damaged; they are computed anew when they are needed. Look after the disk.",
            metadata: [
                "damaged": "\(report.damaged)", "unreadable": "\(report.unreadable)", "sound": "\(report.sound)",
            ])
    }
}
