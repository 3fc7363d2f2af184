-- What jobs of a user have found out about an object.
create index jobs_object on jobs (user_id, (request ->> 's3Key')) where type = 'video-processing';
