// SPDX-License-Identifier: Apache-2.0

import Monitoring
import Testing

@Suite struct HealthTests {
    private let now = ContinuousClock.now

    @Test func aDaemonIsReadyOnlyWhileItWorksAndTheDatabaseAnswers() {
        let health = Health(silenceLimit: .seconds(60))
        #expect(health.readiness().problems == ["it is starting"])
        health.enter(.working)
        #expect(health.readiness().problems == ["the database has not answered yet"])
        health.databaseAnswered()
        #expect(health.readiness().isGood)
        #expect(health.readiness(at: .now + .seconds(90)).problems.count == 1)
        #expect(health.liveness(at: .now + .seconds(90)).isGood, "a restart does not bring the database back")
        health.enter(.stopping)
        #expect(health.readiness().problems == ["it is stopping"])
    }

    @Test func aStepThatNeverEndsIsDeath() {
        let health = Health(stepLimit: .seconds(10))
        let began = now
        health.watchSteps { began }
        #expect(health.liveness(at: began + .seconds(9)).isGood)
        #expect(
            health.liveness(at: began + .seconds(11)).problems == ["a step of the engine has taken 11 s and goes on"])
        health.watchSteps { nil }
        #expect(health.liveness(at: began + .seconds(1000)).isGood)
    }
}
