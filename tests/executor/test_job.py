import pickle


def test_a_job_can_be_sent_anywhere(make_jobs):
    _, jobs = make_jobs()
    for job in jobs:
        sent = pickle.loads(pickle.dumps(job))
        assert sent == job
